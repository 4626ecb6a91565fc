// The machine loses power at random instants of an upgrade and of the shutdown that completes it. Whatever the
// instant: it boots, it is the old or the new version, and stock fsck finds nothing.
//
// A machine is booted once, its state is saved before the upgrade and again when the new version is staged; each
// cut starts from a copy of such a state. ATOMIC_POWER_SEED repeats the instants of an earlier run,
// ATOMIC_POWER_CUTS sets how many cuts hit the upgrade (and half as many the shutdown).
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Machine, type RepoServer, serveRepo } from '@atomic/vm';
import { hostStatus, LOGIN } from '../../demo/demo.ts';
import { whatIsMissing } from '../../demo/host.ts';
import { composeVersion, initRepo, type TreesOptions, writeImage } from '../../demo/trees.ts';
import { stockFsck, toRaw } from '../vm/disk.ts';
import { cachedir, stateFolder, testReporter } from '../vm/setup.ts';

const run = promisify(execFile);
const CUTS = Number(process.env['ATOMIC_POWER_CUTS'] ?? '10');
const seed = Number(process.env['ATOMIC_POWER_SEED'] ?? randomInt(1 << 30));

/** mulberry32: a small generator that gives the same numbers for the same seed everywhere. */
function generator(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const UPGRADE = 'atomic host upgrade';
const SHUTDOWN = 'systemctl reboot';
const missing = whatIsMissing();

describe('power cuts', { skip: missing ?? false, timeout: 20 * 60_000 }, () => {
  const state = stateFolder('power');
  const saved = join(state, 'saved.qcow2');
  let server: RepoServer;
  let versions: { v1: string; v2: string };
  const windows = { upgrade: 0, shutdown: 0 };
  const outcome = { old: 0, new: 0 };

  before(async () => {
    console.log(`power cuts: ATOMIC_POWER_SEED=${seed}`);
    await mkdir(state, { recursive: true });
    const log: string[] = [];
    const trees: TreesOptions = {
      // The lifecycle test's repository: the same two commits.
      repo: join(stateFolder('lifecycle'), 'repo'),
      cachedir,
      progress: false,
      reporter: testReporter(log),
    };
    await initRepo(trees);
    const v1 = await composeVersion(1, null, trees);
    server = await serveRepo(trees.repo);
    const disk = join(state, 'disk.raw');
    await writeImage(disk, v1.ref, `http://10.0.2.2:${server.port}/`, trees);
    const v2 = await composeVersion(2, v1.commit, trees);
    versions = { v1: v1.commit, v2: v2.commit };
    // Only what the booted machine writes goes to the overlay, so copies of it are small.
    await rm(saved, { force: true });
    await run('/usr/bin/qemu-img', ['create', '-q', '-f', 'qcow2', '-b', disk, '-F', 'raw', saved]);
    await using machine = await Machine.start({ disk: saved, format: 'qcow2', boot: 'loader' });
    await machine.login(LOGIN);
    await machine.saveState('booted');
    let start = performance.now();
    await machine.check(UPGRADE, { timeoutSeconds: 400 });
    windows.upgrade = performance.now() - start;
    await machine.saveState('staged');
    start = performance.now();
    machine.console.start(SHUTDOWN);
    assert.equal(await machine.waitExit(), 'reboot');
    windows.shutdown = performance.now() - start;
    console.log(
      `power cuts: upgrade takes ${(windows.upgrade / 1000).toFixed(1)} s, shutdown ${(windows.shutdown / 1000).toFixed(1)} s`,
    );
    // Unharmed, it is the new version: else every cut would pass by changing nothing.
    await machine.restart();
    await machine.login(LOGIN);
    assert.equal(await bootedCommit(machine), versions.v2);
  });
  after(async () => {
    await server?.close();
    await rm(state, { recursive: true, force: true });
    console.log(`power cuts: ${outcome.old} came up old, ${outcome.new} new`);
  });

  async function bootedCommit(machine: Machine): Promise<string | undefined> {
    return (await hostStatus(machine)).deployments.find((deployment) => deployment.booted)?.checksum;
  }

  async function cut(
    from: 'booted' | 'staged',
    command: string,
    afterMilliseconds: number,
    number: number,
  ): Promise<string> {
    const disk = join(state, `cut-${number}.qcow2`);
    const raw = join(state, `cut-${number}.raw`);
    await copyFile(saved, disk, constants.COPYFILE_FICLONE);
    try {
      {
        await using machine = await Machine.start({ disk, format: 'qcow2', boot: 'loader', loadState: from });
        machine.console.start(command);
        await Promise.race([sleep(afterMilliseconds), machine.waitExit()]);
        await machine.kill();
      }
      // Saved states are not part of what a disk is after a cut.
      await toRaw(disk, raw);
      await using machine = await Machine.start({ disk: raw, format: 'raw', boot: 'loader' });
      await machine.login(LOGIN);
      const commit = await bootedCommit(machine);
      assert.ok(commit === versions.v1 || commit === versions.v2, `booted ${commit}`);
      const marker = await machine.check('cat /usr/share/demo/version');
      assert.equal(marker, commit === versions.v1 ? '1' : '2');
      assert.match(await machine.check('cat /etc/demo.conf'), new RegExp(`version ${marker}`));
      await machine.kill();
      await stockFsck(raw);
      outcome[commit === versions.v1 ? 'old' : 'new']++;
      return commit === versions.v1 ? 'old' : 'new';
    } finally {
      await rm(disk, { force: true });
      await rm(raw, { force: true });
    }
  }

  const random = generator(seed);
  for (let i = 0; i < CUTS; i++) {
    const share = random();
    test(`during the upgrade, at ${Math.round(share * 100)} % of it`, async (t) => {
      t.diagnostic(await cut('booted', UPGRADE, share * windows.upgrade, i));
    });
  }
  for (let i = 0; i < Math.ceil(CUTS / 2); i++) {
    const share = random();
    test(`during the shutdown that switches, at ${Math.round(share * 100)} % of it`, async (t) => {
      t.diagnostic(await cut('staged', SHUTDOWN, share * windows.shutdown, CUTS + i));
    });
  }
});
