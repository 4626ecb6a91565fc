import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { buildImage } from '@atomic/compose';
import { asArray, asString, type Checksum, type Progress, type Repo } from '@atomic/ostree';
import { EMULATED_KARGS, Machine } from '@atomic/vm';

/** The branch of a commit that is being tried: images are of branches. */
const TRIED = 'atomic/smoke-test';

export interface TryOptions {
  /** where the machine's disk is made, and removed again */
  folder: string;
  /** of the disk, in bytes */
  size: number;
  /** from power on to the login */
  timeoutSeconds: number;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

/** Boots a commit in a machine made for it, up to its login. Throws what {@link buildImage} and the machine do. */
export async function tryCommit(repo: Repo, commit: Checksum, options: TryOptions): Promise<void> {
  const { signal, progress, timeoutSeconds } = options;
  const folder = mkdtempSync(join(options.folder, 'smoke-test-'));
  try {
    const out = join(folder, 'disk.qcow2');
    const own = repo.loadCommit(commit).metadata.get('atomic.kernel-arguments');
    const kargs = [...(own === undefined ? [] : asArray(own.value).map(asString)), ...EMULATED_KARGS];
    repo.setRef(TRIED, commit);
    const image = { repo, ref: TRIED, out, format: 'qcow2', size: options.size, os: 'smoke-test', kargs } as const;
    await buildImage({ ...image, signal, progress });
    progress?.({ phase: 'smoke test', message: 'booting the commit' });
    await using machine = await Machine.start({ disk: out, format: 'qcow2', memoryMiB: 1024, boot: 'loader', signal });
    await machine.waitFor(/login:/, { timeoutSeconds, signal });
  } finally {
    repo.setRef(TRIED, null);
    rmSync(folder, { recursive: true, force: true });
  }
}
