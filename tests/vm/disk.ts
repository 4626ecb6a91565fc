import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { promisify } from 'node:util';
import { partitionRange } from '@atomic/vm';
import { LoopPartition } from '../../packages/compose/src/image/mounted.ts';

const run = promisify(execFile);

/**
 * Stock `ostree fsck` over the repository on a raw disk, mounted here: the mount replays the journal, as the
 * machine's next boot would. Throws with fsck's output when anything is wrong.
 */
export async function stockFsck(disk: string): Promise<string> {
  await using loop = await LoopPartition.attach(disk, await partitionRange(disk));
  const root = await loop.mount();
  const { stdout } = await run('/usr/bin/ostree', ['fsck', `--repo=${root}/ostree/repo`], { maxBuffer: 1 << 24 });
  return stdout.trim().split('\n').at(-1) ?? '';
}

/** Turn a disk of any format into a raw one. */
export async function toRaw(disk: string, raw: string): Promise<void> {
  await rm(raw, { force: true });
  await run('/usr/bin/qemu-img', ['convert', '-O', 'raw', disk, raw]);
}
