// The machine loses power at random instants of an upgrade, of the shutdown that completes it, and of a rollback. Whatever the
// instant: it boots, it is the old or the new version, and stock fsck finds nothing.
//
// The new version has another initramfs, so that the switch replaces kernels and boot entries, not links alone.
//
// A machine is booted once, its state is saved before the upgrade and again when the new version is staged; each
// cut starts from a copy of such a state. ATOMIC_POWER_SEED repeats the instants of an earlier run,
// ATOMIC_POWER_CUTS sets how many cuts there are, ATOMIC_POWER_MINUTES after how long no more begin (`make power-test N=…`);
// ATOMIC_KEEP=1 keeps the files.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { commitTree, pullLocal, Repo, readFileAt, stringVariant } from '@atomic/ostree';
import { Machine, type RepoServer, serveRepo } from '@atomic/vm';
import { hostStatus, LOGIN } from '../../demo/demo.ts';
import { whatIsMissing } from '../../demo/host.ts';
import { type Composed, composeVersion, initRepo, type TreesOptions, writeImage } from '../../demo/trees.ts';
import { stockFsck, toRaw } from '../vm/disk.ts';
import { cachedir, stateFolder, testReporter } from '../vm/setup.ts';
import { generator, powerSeed } from './seed.ts';
import { watch } from './watch-disk.ts';

const run = promisify(execFile);
const CUTS = Number(process.env['ATOMIC_POWER_CUTS'] ?? '50');
const MINUTES = Number(process.env['ATOMIC_POWER_MINUTES'] ?? '15');

/** Version 2, made from version 1: another initramfs and default, and enough new files that pulling takes a while. */
async function commitNewVersion(repo: Repo, v1: Composed): Promise<string> {
  const overlay = join(dirname(repo.path), 'overlay');
  const write = async (path: string, content: string | Buffer) => {
    await mkdir(dirname(join(overlay, path)), { recursive: true });
    await writeFile(join(overlay, path), content);
  };
  const initramfs = `usr/lib/modules/${v1.kernel}/initramfs.img`;
  // The kernel skips zeros after the archive.
  await write(initramfs, Buffer.concat([readFileAt(repo, v1.commit, `/${initramfs}`), Buffer.alloc(4096)]));
  await write('usr/share/demo/version', '2\n');
  await write('usr/etc/demo.conf', 'greeting = hello from version 2\n');
  for (let i = 0; i < 4; i++) await write(`usr/share/demo/blob-${i}`, randomBytes(1 << 20));
  for (let i = 0; i < 200; i++) await write(`usr/share/demo/small-${i}`, `number ${i}\n`);
  const metadata = new Map(repo.loadCommit(v1.commit).metadata);
  metadata.set('version', stringVariant('2'));
  const trees = [{ ref: v1.commit }, { dir: overlay }];
  return (await commitTree(repo, { trees, branch: v1.ref, subject: 'version 2', metadata })).commit;
}

const UPGRADE = 'atomic host upgrade';
const SHUTDOWN = 'systemctl reboot';
const ROLLBACK = 'atomic host rollback';
interface Kind {
  name: string;
  /** The saved state it starts from. */
  from: 'booted' | 'staged' | 'new';
  command: string;
  window: 'upgrade' | 'shutdown' | 'rollback';
}

const upgrading: Kind = { name: 'the upgrade', from: 'booted', command: UPGRADE, window: 'upgrade' };
const KINDS: Kind[] = [
  upgrading,
  { name: 'the shutdown that switches', from: 'staged', command: SHUTDOWN, window: 'shutdown' },
  upgrading,
  { name: 'the rollback', from: 'new', command: ROLLBACK, window: 'rollback' },
];

const missing = whatIsMissing();

// Cuts at a time: a machine that boots keeps a processor busy.
const PARALLEL = Number(process.env['ATOMIC_POWER_PARALLEL'] ?? '2');

describe('power cuts', { skip: missing ?? false, timeout: (MINUTES + 20) * 60_000, concurrency: PARALLEL }, () => {
  const state = stateFolder('power');
  const saved = join(state, 'saved.qcow2');
  let server: RepoServer;
  let versions: { v1: string; v2: string };
  const windows = { upgrade: 0, shutdown: 0, rollback: 0 };
  let until = 0;
  const outcome = { old: 0, new: 0 };

  before(async () => {
    until = performance.now() + MINUTES * 60_000;
    console.log(`power cuts: ATOMIC_POWER_SEED=${powerSeed}`);
    await rm(state, { recursive: true, force: true });
    await mkdir(state, { recursive: true });
    const shared = { cachedir, progress: false, reporter: testReporter([]) };
    // The lifecycle test's repository: the same commit.
    const composed: TreesOptions = { ...shared, repo: join(stateFolder('lifecycle'), 'repo') };
    await initRepo(composed);
    const v1 = await composeVersion(1, null, composed);
    const repo = Repo.create(join(state, 'repo'), { mode: 'archive' });
    await pullLocal(repo, composed.repo, { refs: [v1.commit] });
    repo.setRef(v1.ref, v1.commit);
    server = await serveRepo(repo.path);
    const disk = join(state, 'disk.raw');
    await writeImage(disk, v1.ref, `http://10.0.2.2:${server.port}/`, { ...shared, repo: repo.path });
    versions = { v1: v1.commit, v2: await commitNewVersion(repo, v1) };
    // Only what the booted machine writes goes to the overlay, so copies of it are small.
    await rm(saved, { force: true });
    await run('/usr/bin/qemu-img', ['create', '-q', '-f', 'qcow2', '-b', disk, '-F', 'raw', saved]);
    await using machine = await Machine.start({ disk: saved, format: 'qcow2', boot: 'loader' });
    await machine.login(LOGIN);
    await machine.saveState('booted');
    const upgraded = machine.check(UPGRADE, { timeoutSeconds: 600 });
    windows.upgrade = await watch(machine, upgraded);
    await upgraded;
    await machine.saveState('staged');
    machine.console.start(SHUTDOWN);
    const exit = machine.waitExit({ timeoutSeconds: 300 });
    windows.shutdown = await watch(machine, exit);
    assert.equal(await exit, 'reboot');
    console.log(
      `power cuts: the disk is written ${windows.upgrade} times by the upgrade, ${windows.shutdown} by the shutdown`,
    );
    // Unharmed, it is the new version: else every cut would pass by changing nothing.
    await machine.restart();
    await machine.login(LOGIN);
    assert.equal(await bootedCommit(machine), versions.v2);
    await machine.saveState('new');
    const back = machine.check(ROLLBACK, { timeoutSeconds: 600 });
    windows.rollback = await watch(machine, back);
    await back;
    console.log(`power cuts: and ${windows.rollback} times by the rollback`);
  });
  after(async () => {
    await server?.close();
    if (process.env['ATOMIC_KEEP'] === undefined) await rm(state, { recursive: true, force: true });
    const survived = outcome.old + outcome.new;
    console.log(`power cuts: ${survived} survived; ${outcome.old} came up old, ${outcome.new} new`);
  });

  async function bootedCommit(machine: Machine): Promise<string | undefined> {
    return (await hostStatus(machine)).deployments.find((deployment) => deployment.booted)?.checksum;
  }

  async function cut({ from, command, window }: Kind, share: number, number: number): Promise<string> {
    const afterOperations = share * windows[window];
    const disk = join(state, `cut-${number}.qcow2`);
    const raw = join(state, `cut-${number}.raw`);
    await copyFile(saved, disk, constants.COPYFILE_FICLONE);
    try {
      {
        await using machine = await Machine.start({ disk, format: 'qcow2', boot: 'loader', loadState: from });
        const work =
          from === 'staged' ? machine.waitExit({ timeoutSeconds: 300 }) : machine.run(command, { timeoutSeconds: 600 });
        if (from === 'staged') machine.console.start(command);
        await watch(machine, work, Math.max(1, afterOperations));
        await machine.kill();
      }
      // Saved states are not part of what a disk is after a cut.
      await toRaw(disk, raw);
      // Either way the boot entries are read as they lie there, without the journal's help.
      await using machine = await Machine.start({
        disk: raw,
        format: 'raw',
        boot: from === 'booted' ? 'direct' : 'loader',
      });
      await machine.login(LOGIN);
      const commit = await bootedCommit(machine);
      assert.ok(commit === versions.v1 || commit === versions.v2, `booted ${commit}`);
      const [marker, greeting] = (
        await machine.check('cat /usr/share/demo/version /etc/demo.conf | grep -v "#"')
      ).split('\n');
      assert.equal(marker, commit === versions.v1 ? '1' : '2');
      assert.equal(greeting, `greeting = hello from version ${marker}`);
      await machine.kill();
      await stockFsck(raw);
      outcome[commit === versions.v1 ? 'old' : 'new']++;
      return commit === versions.v1 ? 'old' : 'new';
    } finally {
      await rm(disk, { force: true });
      await rm(raw, { force: true });
    }
  }

  const random = generator(powerSeed);
  for (let i = 0; i < CUTS; i++) {
    const kind = KINDS[i % KINDS.length];
    if (kind === undefined) continue;
    const share = random();
    test(`during ${kind.name}, at ${Math.round(share * 100)} % of it`, async (t) => {
      if (performance.now() > until) return t.skip(`the ${MINUTES} minutes for cuts are over`);
      t.diagnostic(await cut(kind, share, i));
    });
  }
});
