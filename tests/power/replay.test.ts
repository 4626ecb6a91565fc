// A power cut that loses a disk's cache. All that a machine wrote and flushed during an upgrade, the switch at shutdown
// and a rollback is written down by QEMU, and done again up to each flush (everything before it is on the disk), and up
// to it plus a random half of what followed (as a drive may have it). Each of these disks must boot: what a boot loader
// sees, which does not replay the journal, must still be there once the kernel has.
//
// REPLAY=all visits all flushes, which takes a quarter of an hour; else some, chosen by chance.
// ATOMIC_POWER_SEED repeats the choice and the halves of an earlier run.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, open, readFile, realpath, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import {
  extractKernel,
  type LoggedWrite,
  Machine,
  partitionRange,
  readBootEntries,
  readWriteLog,
  replayWrites,
} from '@atomic/vm';
import { LOGIN } from '../../demo/demo.ts';
import { LoopPartition } from '../../packages/compose/src/image/mounted.ts';
import { toRaw } from '../vm/disk.ts';
import { BOOT_SECONDS, Lab, skip } from '../vm/lab.ts';
import { generator, powerSeed } from './seed.ts';

const run = promisify(execFile);
const copy = (from: string, to: string): Promise<unknown> => run('cp', ['--sparse=always', from, to]);

/** A part of a recording: the writes between two places in the log. */
interface Window {
  name: string;
  from: number;
  to: number;
  /** About how many of its flushes are visited. */
  most: number;
}

interface Recording {
  /** The disk before the first write. */
  base: string;
  log: string;
  windows: Window[];
}

const ALL = process.env['REPLAY'] === 'all';
// Without REPLAY=all. The upgrade writes nothing that a boot loader reads.
const SOME = { upgrade: 3, switch: 12, rollback: 8 };

/** Starts a machine on a raw disk, all of whose writes are logged; `work` names the windows. */
async function record(
  disk: string,
  log: string,
  work: (
    machine: Machine,
    window: (name: string, most: number, part: () => Promise<unknown>) => Promise<void>,
  ) => Promise<void>,
): Promise<Recording> {
  const base = `${log}.base`;
  await copy(disk, base);
  await (await open(log, 'w')).close();
  const windows: Window[] = [];
  await using machine = await Machine.start({ disk, format: 'raw', boot: 'direct', writeLog: log });
  await machine.login({ ...LOGIN, timeoutSeconds: BOOT_SECONDS });
  const size = async (): Promise<number> => (await stat(log)).size;
  await work(machine, async (name, most, part) => {
    const from = await size();
    await part();
    windows.push({ name, most, from, to: await size() });
  });
  return { base, log, windows };
}

/** What a disk is after a cut: the version its default entry boots. Throws with what would not boot. */
async function bootable(disk: string, fsck: boolean): Promise<string> {
  const kernels = await mkdtemp(join(tmpdir(), 'atomic-replay-'));
  try {
    // As a boot loader reads: no journal.
    const entries = await readBootEntries(disk);
    assert.ok(entries.length > 0, 'a boot loader finds no entry');
    const found: { link: string; sum: string }[] = [];
    for (const entry of entries) {
      const { kernel, initrd } = await extractKernel(disk, entry, kernels);
      const sum = createHash('sha256')
        .update(await readFile(kernel))
        .update(await readFile(initrd));
      const link = /(?:^| )ostree=(\S+)/.exec(entry.options)?.[1] ?? '';
      found.push({ link, sum: sum.digest('hex') });
      assert.equal(link.split('/')[4], found.at(-1)?.sum, `${entry.file}: kernel and initramfs are not whole`);
    }
    // As the kernel has it after the mount.
    await using loop = await LoopPartition.attach(disk, await partitionRange(disk));
    const root = await loop.mount();
    let version = '';
    for (const [index, { link }] of found.entries()) {
      assert.ok(existsSync(join(root, link, 'usr/lib/os-release')), `the entry's ${link} leads nowhere`);
      const tree = await realpath(join(root, link));
      assert.ok(existsSync(`${tree}.origin`), `${tree} has no origin`);
      assert.ok(existsSync(join(tree, 'etc/passwd')), `${tree} has no /etc`);
      if (index === 0) version = (await readFile(join(tree, 'usr/share/demo/version'), 'utf8')).trim();
    }
    if (fsck) await run('/usr/bin/ostree', ['fsck', '-q', `--repo=${root}/ostree/repo`]);
    return version;
  } finally {
    await rm(kernels, { recursive: true, force: true });
  }
}

/** Which flushes of a window are visited: all, or the first, the last, and some between them. */
function chosen(writes: readonly LoggedWrite[], { from, to, most }: Window, random: () => number): number[] {
  const flushes = [...writes.keys()].filter(
    (i) => writes[i]?.flush === true && (writes[i]?.at ?? 0) >= from && (writes[i]?.at ?? 0) <= to,
  );
  if (ALL || flushes.length <= most) return flushes;
  return flushes.filter((_, i) => i === 0 || i === flushes.length - 1 || random() < (most - 2) / (flushes.length - 2));
}

interface Outcome {
  flushes: number;
  torn: number;
  versions: Map<string, number>;
  problems: string[];
}

/** Replays a recording to each place that is visited, and looks at the disk there. */
async function replay({ base, log, windows }: Recording, random: () => number): Promise<Map<string, Outcome>> {
  const writes = await readWriteLog(log);
  const flushes = [...writes.keys()].filter((i) => writes[i]?.flush === true);
  const point = `${base}.point`;
  const outcomes = new Map<string, Outcome>();
  await using data = await open(log, 'r');
  await using image = await open(base, 'r+');
  let done = 0;
  for (const window of windows) {
    const outcome: Outcome = { flushes: 0, torn: 0, versions: new Map(), problems: [] };
    outcomes.set(window.name, outcome);
    const visited = chosen(writes, window, random);
    for (const at of visited) {
      await replayWrites(data, image, writes.slice(done, at + 1));
      done = at + 1;
      const next = flushes.find((i) => i > at) ?? writes.length;
      const half = writes.slice(at + 1, next).filter(({ length }) => length > 0 && random() < 0.5);
      for (const kind of half.length > 0 ? (['flushes', 'torn'] as const) : (['flushes'] as const)) {
        await copy(base, point);
        if (kind === 'torn') {
          await using torn = await open(point, 'r+');
          await replayWrites(data, torn, half);
        }
        try {
          const version = await bootable(point, ALL || at === visited.at(-1));
          outcome.versions.set(version, (outcome.versions.get(version) ?? 0) + 1);
        } catch (error) {
          outcome.problems.push(`${kind} at write ${at}: ${error instanceof Error ? error.message : error}`);
        }
        outcome[kind]++;
      }
    }
  }
  await rm(point, { force: true });
  return outcomes;
}

describe('what a disk with a cache has after a power cut', { skip, timeout: 30 * 60_000 }, () => {
  test('every flush of an upgrade, its switch and a rollback, and half of what follows each', async (t) => {
    t.diagnostic(`ATOMIC_POWER_SEED=${powerSeed}`);
    const random = generator(powerSeed);
    await using lab = await Lab.open('replay');
    const disk = join(lab.folder, 'disk.raw');
    await lab.commit({ version: '2' });
    {
      await using host = await lab.host();
      await host.machine.powerOff({ timeoutSeconds: BOOT_SECONDS });
      await toRaw(host.disk, disk);
    }
    const patience = { timeoutSeconds: 600 };
    const upgrade = await record(disk, join(lab.folder, 'upgrade.log'), async (machine, window) => {
      await machine.check('sync');
      await window('the upgrade', SOME.upgrade, () => machine.check('atomic host upgrade', patience));
      await window('the shutdown that switches', SOME.switch, async () => {
        machine.console.start('systemctl reboot');
        assert.equal(await machine.waitExit(patience), 'reboot');
      });
    });
    const rollback = await record(disk, join(lab.folder, 'rollback.log'), async (machine, window) => {
      await machine.check('sync');
      await window('the rollback', SOME.rollback, () => machine.check('atomic host rollback', patience));
      await machine.powerOff(patience);
    });
    const outcomes = [...(await replay(upgrade, random)), ...(await replay(rollback, random))];
    for (const [name, { flushes, torn, versions }] of outcomes) {
      const booted = [...versions].map(([version, times]) => `version ${version} ${times} times`).join(', ');
      t.diagnostic(`${name}: ${flushes} flushes and ${torn} torn states after them: ${booted}`);
    }
    assert.deepEqual(
      outcomes.flatMap(([name, { problems }]) => problems.map((problem) => `${name}: ${problem}`)),
      [],
    );
    for (const name of ['the shutdown that switches', 'the rollback']) {
      const versions = outcomes.find(([found]) => found === name)?.[1].versions;
      assert.deepEqual([...(versions?.keys() ?? [])].sort(), ['1', '2'], `${name} was seen from before and from after`);
    }
  });
});
