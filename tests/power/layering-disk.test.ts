// The disk goes away at random instants of `atomic host install`, without a machine: it is served by a process that is
// killed, so that what was written up to then, and no more, is on it. What the boot loader would boot is whole, stock fsck
// finds nothing, and the command done again does it.
//
// ATOMIC_POWER_SEED repeats the instants of an earlier run, LAYERS_CUTS sets how many there are.
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { extractKernel, partitionRange, readBootEntries } from '@atomic/vm';
import { LoopPartition } from '../../packages/compose/src/image/mounted.ts';
import { DebRepository } from '../vm/deb-repository.ts';
import { stockFsck } from '../vm/disk.ts';
import { Lab, skip } from '../vm/lab.ts';
import { generator, powerSeed } from './seed.ts';

const DAEMON = '/usr/bin/qemu-storage-daemon';
function whyNot(): string | false {
  if (process.env['LAYERS_MACHINE'] === undefined) return 'takes minutes: make layers-test';
  if (!existsSync(DAEMON) || !existsSync('/dev/fuse')) return `needs ${DAEMON} and /dev/fuse`;
  return skip;
}
const CUTS = Number(process.env['LAYERS_CUTS'] ?? '10');
const ATOMIC = join(import.meta.dirname, '../../bin/atomic');
const PACKAGE = 'greeter';

/** A disk that a process serves; when that is killed, it is gone, in the midst of whatever. */
class ServedDisk {
  readonly root: string;
  readonly #daemon: ChildProcess;
  readonly #file: string;
  readonly #loop: string;

  private constructor(daemon: ChildProcess, file: string, loop: string, root: string) {
    this.#daemon = daemon;
    this.#file = file;
    this.#loop = loop;
    this.root = root;
  }

  static async open(raw: string): Promise<ServedDisk> {
    const file = `${raw}.served`;
    writeFileSync(file, '');
    const daemon = spawn(
      DAEMON,
      [
        ...['--blockdev', `driver=file,node-name=disk,filename=${raw},cache.no-flush=on`],
        ...['--export', `type=fuse,id=disk,node-name=disk,mountpoint=${file},writable=on`],
      ],
      { stdio: 'inherit' },
    );
    while (!/ fuse/.test(mountOf(file))) {
      assert.equal(daemon.exitCode, null, 'the disk is served');
      await sleep(20);
    }
    const { offset } = await partitionRange(raw);
    const loop = execFileSync('losetup', ['--find', '--show', '-o', String(offset), file], { encoding: 'utf8' }).trim();
    const root = `${raw}.root`;
    mkdirSync(root);
    execFileSync('mount', ['-t', 'ext4', loop, root]);
    return new ServedDisk(daemon, file, loop, root);
  }

  /** How often it was written, since it is there. */
  get writes(): number {
    const stat = readFileSync(`/sys/block/${this.#loop.slice('/dev/'.length)}/stat`, 'utf8')
      .trim()
      .split(/\s+/);
    return Number(stat[4]);
  }

  /** Everything not written by now never is. */
  cut(): void {
    this.#daemon.kill('SIGKILL');
  }

  close(): void {
    spawnSync('umount', ['-l', this.root]);
    spawnSync('losetup', ['-d', this.#loop]);
    this.#daemon.kill('SIGKILL');
    spawnSync('umount', ['-l', this.#file]);
    rmSync(this.root, { recursive: true });
    rmSync(this.#file);
  }
}

const mountOf = (path: string): string =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((line) => line.includes(` ${path} `)) ?? '';

describe('the disk goes away while packages are layered', { skip: whyNot(), timeout: 60 * 60_000 }, () => {
  let lab: Lab;
  let image: string;
  let whole = 0;
  const outcome = { old: 0, new: 0 };
  const install = (root: string) =>
    spawn(ATOMIC, ['host', 'install', `--sysroot=${root}`, '--idempotent', PACKAGE], {
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    });

  before(async () => {
    console.log(`disks that go away: ATOMIC_POWER_SEED=${powerSeed}`);
    lab = await Lab.compose('layers', 'layers-disk');
    const debs = new DebRepository(lab);
    debs.publishGreeter();
    image = join(lab.folder, 'image.raw');
    execFileSync('cp', ['--sparse=always', await lab.image(), image]);
    await using loop = await LoopPartition.attach(image, await partitionRange(image));
    const root = await loop.mount();
    for (const apt of globSync(join(root, 'ostree/deploy/debian/deploy/*/etc/apt'))) {
      rmSync(join(apt, 'sources.list'), { force: true });
      for (const list of globSync(join(apt, 'sources.list.d/*'))) rmSync(list);
      writeFileSync(
        join(apt, 'sources.list.d/test.list'),
        `deb [trusted=yes] http://127.0.0.1:${lab.server.port}/debs ./\n`,
      );
    }
    await ended(spawn(ATOMIC, ['host', 'refresh-md', `--sysroot=${root}`], { stdio: 'ignore' }));
  });
  after(async () => {
    await lab?.[Symbol.asyncDispose]();
    console.log(`disks that go away: ${outcome.old} with the old tree, ${outcome.new} with the new one`);
  });

  async function ended(child: ChildProcess): Promise<number | null> {
    child.stderr?.resume();
    if (child.exitCode === null && child.signalCode === null) await new Promise((done) => child.once('exit', done));
    return child.exitCode;
  }

  /** What boots first on a disk: kernel, initramfs and tree are whole. */
  async function bootsFirst(raw: string): Promise<'old' | 'new'> {
    const [entry] = await readBootEntries(raw);
    assert.ok(entry, 'there is something to boot');
    const folder = mkdtempSync(`${raw}.kernel-`);
    await extractKernel(raw, entry, folder);
    rmSync(folder, { recursive: true });
    await using loop = await LoopPartition.attach(raw, await partitionRange(raw));
    const root = await loop.mount();
    const tree = realpathSync(join(root, / ostree=(\S+)/.exec(` ${entry.options}`)?.[1] ?? ''));
    const commit = /([0-9a-f]{64})\.\d+$/.exec(tree)?.[1] ?? '';
    const differ = execFileSync('ostree', ['diff', `--repo=${root}/ostree/repo`, commit, tree], { encoding: 'utf8' });
    // What a deployment has of its own.
    const odd = differ
      .split('\n')
      .filter((line) => line !== '' && !/^[AMD] +\/?(etc|var|\.ostree\.cfs)(\/|$)/.test(line));
    assert.deepEqual(odd, []);
    const old = commit === lab.v1.commit;
    assert.equal(existsSync(join(tree, 'usr/bin/greeter')), !old);
    assert.ok(existsSync(join(tree, 'etc/apt/sources.list.d/test.list')), 'its /etc is whole');
    return old ? 'old' : 'new';
  }

  async function again(raw: string): Promise<void> {
    await using loop = await LoopPartition.attach(raw, await partitionRange(raw));
    const root = await loop.mount();
    const child = install(root);
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      said += chunk;
    });
    assert.equal(await ended(child), 0, said);
    assert.ok(!existsSync(join(root, 'ostree/extensions/atomic/work')), 'nothing of the time before is left');
  }

  test('undisturbed', async () => {
    const raw = join(lab.folder, 'whole.raw');
    execFileSync('cp', ['--sparse=always', image, raw]);
    const disk = await ServedDisk.open(raw);
    const before = disk.writes;
    assert.equal(await ended(install(disk.root)), 0);
    execFileSync('sync', ['-f', disk.root]);
    whole = disk.writes - before;
    disk.cut();
    disk.close();
    assert.equal(await bootsFirst(raw), 'new');
    await rm(raw);
    console.log(`disks that go away: it is written ${whole} times`);
  });

  const random = generator(powerSeed);
  for (let i = 0; i < CUTS; i++) {
    // Half of them in the last fifth, where the layer becomes what boots.
    const share = i % 2 === 0 ? random() : 1 - random() / 5;
    test(`at ${Math.round(share * 100)} % of what it writes`, async (t) => {
      const raw = join(lab.folder, `cut-${i}.raw`);
      execFileSync('cp', ['--sparse=always', image, raw]);
      const disk = await ServedDisk.open(raw);
      const limit = disk.writes + Math.max(1, Math.floor(share * whole));
      const child = install(disk.root);
      while (child.exitCode === null && disk.writes < limit) await sleep(2);
      disk.cut();
      // It may wait for a disk that is gone.
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
      await ended(child);
      disk.close();
      const found = await bootsFirst(raw);
      await again(raw);
      assert.equal(await bootsFirst(raw), 'new');
      t.diagnostic(`${found}; ${await stockFsck(raw)}`);
      outcome[found]++;
      await rm(raw);
    });
  }
});
