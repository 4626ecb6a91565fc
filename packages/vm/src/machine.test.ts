import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { diskFormat, Machine } from './machine.ts';
import { capture, findTool } from './process.ts';

const skip = findTool('qemu-system-x86_64') && findTool('qemu-img') ? false : 'QEMU is not installed';

let folder = '';
let disk = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atomic-machine-'));
  disk = join(folder, 'empty.raw');
  await writeFile(disk, '');
  await truncate(disk, 1 << 20);
});
after(() => rm(folder, { recursive: true }));

const alive = (pid: number | undefined) => pid !== undefined && existsSync(`/proc/${pid}/exe`);
const options = (path: string) =>
  ({ disk: path, format: 'raw', boot: 'loader', memoryMiB: 64, network: false }) as const;

test('power on, power cut, nothing left', { skip, timeout: 60_000 }, async () => {
  const machine = await Machine.start(options(disk));
  const { pid, workDir } = machine;
  assert.ok(machine.running && alive(pid));
  await assert.rejects(machine.waitExit({ timeoutSeconds: 0.2 }), /did not stop within/);
  await machine.kill();
  assert.equal(machine.running, false);
  assert.ok(!alive(pid));
  await machine.restart();
  const second = machine.pid;
  await machine.dispose();
  assert.ok(!alive(second));
  assert.ok(!existsSync(workDir));
});

test('an abort ends the machine', { skip, timeout: 60_000 }, async () => {
  const controller = new AbortController();
  await using machine = await Machine.start({ ...options(disk), signal: controller.signal });
  const { pid } = machine;
  const exit = machine.waitExit();
  controller.abort(new Error('stop'));
  await assert.rejects(exit, /stop/);
  assert.ok(!alive(pid));
});

test('states of a qcow2 disk; a snapshot leaves the disk alone', { skip, timeout: 60_000 }, async () => {
  const qcow2 = join(folder, 'empty.qcow2');
  await capture('/usr/bin/qemu-img', ['create', '-q', '-f', 'qcow2', qcow2, '1M']);
  assert.deepEqual([await diskFormat(qcow2), await diskFormat(disk)], ['qcow2', 'raw']);
  const has = async (path: string) => (await capture('/usr/bin/qemu-img', ['snapshot', '-l', path])).includes('now');
  {
    await using machine = await Machine.start({ ...options(qcow2), format: 'qcow2', snapshot: true });
    await machine.saveState('now');
    await machine.loadState('now');
    await assert.rejects(machine.loadState('never'), /cannot loadvm never/);
  }
  assert.equal(await has(qcow2), false);
  {
    await using machine = await Machine.start({ ...options(qcow2), format: 'qcow2' });
    await machine.saveState('now');
  }
  assert.equal(await has(qcow2), true);
});

test('what cannot start says why', { skip, timeout: 60_000 }, async () => {
  await assert.rejects(Machine.start(options(join(folder, 'none.raw'))), /QEMU did not start: .*none\.raw/);
  await assert.rejects(diskFormat(join(folder, 'none.raw')), /no disk image/);
  await assert.rejects(Machine.start({ ...options(disk), boot: 'direct' }), /sfdisk|partition/);
});
