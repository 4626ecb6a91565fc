// The machine loses power, or the command is killed, at random instants of `atomic host install`. Whatever the instant: it
// boots what it had or all of what was asked for, stock fsck finds nothing, and the command done again does it.
//
// Each starts from a copy of a machine's saved state. ATOMIC_POWER_SEED repeats the instants of an earlier run,
// LAYERS_CUTS sets how many power cuts there are; half as many kills.
import assert from 'node:assert/strict';
import { constants } from 'node:fs';
import { copyFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Machine } from '@atomic/vm';
import { hostStatus, LOGIN } from '../../demo/demo.ts';
import { DebRepository } from '../vm/deb-repository.ts';
import { stockFsck, toRaw } from '../vm/disk.ts';
import { BOOT_SECONDS, type Host, Lab, skip } from '../vm/lab.ts';
import { generator, powerSeed } from './seed.ts';
import { watch } from './watch-disk.ts';

const whyNot = skip || (process.env['LAYERS_MACHINE'] === undefined ? 'takes half an hour: make layers-test' : false);
const CUTS = Number(process.env['LAYERS_CUTS'] ?? '10');
const KILLS = Math.ceil(CUTS / 2);

// At once, not at shutdown: so the switch is part of it. The list of packages is fetched before.
const INSTALL = 'atomic host install --no-stage greeter';
const WAIT = { timeoutSeconds: 900 };
// A machine that boots keeps one processor and a half busy.
const PARALLEL = 2;

describe('layering that is cut short', { skip: whyNot, timeout: 90 * 60_000, concurrency: PARALLEL }, () => {
  let lab: Lab;
  let host: Host;
  let window = { operations: 0, seconds: 0 };
  const outcome = { old: 0, new: 0 };

  before(async () => {
    console.log(`layering cut short: ATOMIC_POWER_SEED=${powerSeed}`);
    lab = await Lab.compose('layers', 'layers-power');
    const debs = new DebRepository(lab);
    debs.publishGreeter();
    host = await lab.host();
    await debs.use(host);
    await host.check('atomic host refresh-md && sync');
    await host.machine.saveState('ready');
    const start = performance.now();
    const installed = host.check(INSTALL, WAIT);
    const operations = await watch(host.machine, installed);
    await installed;
    window = { operations, seconds: (performance.now() - start) / 1000 };
    // Unharmed, it is there: else every cut would pass by changing nothing.
    await host.powerCut();
    assert.equal(await host.check('greeter'), 'hello from a layer');
    await host.machine.dispose();
    console.log(`layering cut short: the disk is written ${operations} times in ${window.seconds.toFixed(0)} s`);
  });
  after(async () => {
    await host?.[Symbol.asyncDispose]();
    await lab?.[Symbol.asyncDispose]();
    console.log(`layering cut short: ${outcome.old} power cuts came up old, ${outcome.new} new`);
  });

  /** A copy of the disk, with the saved state in it, for as long as `work` takes. */
  async function withDisk(name: string, work: (disk: string, raw: string) => Promise<void>): Promise<void> {
    const disk = join(lab.folder, `${name}.qcow2`);
    const raw = join(lab.folder, `${name}.raw`);
    await copyFile(host.disk, disk, constants.COPYFILE_FICLONE);
    try {
      await work(disk, raw);
    } finally {
      await rm(disk, { force: true });
      await rm(raw, { force: true });
    }
  }

  /** Done again, it is all there, and nothing of the time before is left; then the power goes once more. */
  async function again(machine: Machine): Promise<void> {
    await machine.check(`${INSTALL} --idempotent`, WAIT);
    const { deployments } = await hostStatus(machine);
    const layered = deployments.find(({ checksum }) => checksum !== lab.v1.commit);
    assert.ok(layered, 'the layered tree is deployed');
    await machine.check(`ls /ostree/deploy/debian/deploy/${layered.checksum}.*/usr/bin/greeter`);
    await machine.check('test ! -e /ostree/extensions/atomic/work');
    assert.equal(await machine.check('systemctl list-units --plain --no-legend "atomic-layer-*"'), '');
    await machine.kill();
  }

  /** Boots the disk: what was there, or all of what was asked for; then the command again, there. */
  async function bootIt(raw: string): Promise<'old' | 'new'> {
    await using machine = await Machine.start({ disk: raw, format: 'raw', boot: 'direct' });
    await machine.login({ ...LOGIN, timeoutSeconds: BOOT_SECONDS });
    const booted = (await hostStatus(machine)).deployments.find((deployment) => deployment.booted)?.checksum;
    const old = booted === lab.v1.commit;
    const { code, output } = await machine.run('greeter && cat /etc/greeter.conf && stat -c %U /var/lib/greeter');
    if (old) assert.notEqual(code, 0);
    else assert.equal(output, 'hello from a layer\ndefault\ngreeter\n');
    await again(machine);
    return old ? 'old' : 'new';
  }

  const random = generator(powerSeed);
  for (let i = 0; i < CUTS; i++) {
    // The first second is reading: half of the cuts are in the last third, where the layer becomes a deployment.
    const share = i % 2 === 0 ? random() : 1 - random() / 3;
    test(`the power is cut at ${Math.round(share * 100)} % of it`, async (t) => {
      await withDisk(`cut-${i}`, async (disk, raw) => {
        {
          await using machine = await Machine.start({ disk, format: 'qcow2', boot: 'direct', loadState: 'ready' });
          const work = machine.run(INSTALL, WAIT);
          await watch(machine, work, Math.max(1, share * window.operations));
          await machine.kill();
        }
        await toRaw(disk, raw);
        const found = await bootIt(raw);
        t.diagnostic(`${found}; ${await stockFsck(raw)}`);
        outcome[found]++;
      });
    });
  }
  for (let i = 0; i < KILLS; i++) {
    const share = random();
    test(`the command is killed at ${Math.round(share * 100)} % of it`, async (t) => {
      await withDisk(`kill-${i}`, async (disk, raw) => {
        await using machine = await Machine.start({ disk, format: 'qcow2', boot: 'direct', loadState: 'ready' });
        const seconds = (share * window.seconds).toFixed(2);
        const said = await machine.run(`${INSTALL} & pid=$!; sleep ${seconds}; kill -9 $pid; wait $pid`, WAIT);
        await again(machine);
        await toRaw(disk, raw);
        t.diagnostic(`${said.code === 0 ? 'too late' : 'killed'}; ${await stockFsck(raw)}`);
      });
    });
  }
});
