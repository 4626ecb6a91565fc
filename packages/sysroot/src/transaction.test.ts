import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { FileLock } from '@atomic/linux';
import { initSysroot } from './init.ts';
import { activeTransaction, cancelTransaction } from './transaction.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-transaction-'));
const children: ChildProcess[] = [];
after(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(scratch, { recursive: true, force: true });
});
let serial = 0;
const newSysroot = () => initSysroot(join(scratch, String(serial++)));

/** Another process that takes the lock as commands do, and lets go of it when it is told to end. */
async function worker(
  path: string,
  body = "process.on('SIGTERM', () => { held[Symbol.dispose](); process.exit(0); });",
) {
  const child = spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      '--input-type=module',
      '-e',
      `import { Sysroot } from ${JSON.stringify(join(import.meta.dirname, 'sysroot.ts'))};
       const held = await Sysroot.open(${JSON.stringify(path)}, { title: 'upgrade --reboot' }).lock();
       ${body}
       setInterval(() => {}, 1000);
       console.log('held');`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  children.push(child);
  assert.ok(child.stdout);
  await once(child.stdout, 'data');
  return child;
}

describe('who holds the lock', () => {
  test('nobody: no file, or one that nobody has locked, whatever it says', async () => {
    const { layout } = newSysroot();
    rmSync(layout.lock, { force: true });
    assert.equal(activeTransaction(layout.lock), null);
    writeFileSync(layout.lock, `{"pid":${process.pid},"ticks":"1","title":"a lie","started":1}\n`);
    assert.equal(activeTransaction(layout.lock), null);
    assert.equal(await cancelTransaction(layout.lock), null);
  });

  test('a command that works is named, and nothing is left in the file when it is done', async () => {
    const sysroot = newSysroot();
    {
      using _lock = await sysroot.lock();
      const found = activeTransaction(sysroot.layout.lock);
      assert.equal(found?.title, 'atomic');
      assert.equal(found.pid, process.pid);
      assert.ok(Math.abs((found.started ?? 0) - Date.now()) < 60_000);
    }
    assert.equal(activeTransaction(sysroot.layout.lock), null);
    assert.equal(readFileSync(sysroot.layout.lock, 'utf8'), '');
  });

  test('what a killed command left is not believed of the next holder', async () => {
    const { layout } = newSysroot();
    for (const text of [
      '{"pid":4194305,"ticks":"12","title":"a dead one","started":1}',
      `{"pid":${process.pid},"ticks":"1","title":"somebody with this number","started":1}`,
      `{"pid":-1,"ticks":"1","title":"all of them","started":1}`,
      '{"pid":',
      '',
    ]) {
      writeFileSync(layout.lock, text);
      using _held = await FileLock.acquire(layout.lock, 'exclusive');
      const found = activeTransaction(layout.lock);
      assert.equal(found?.title, null, text);
      assert.equal(found.pid, process.pid, 'found by its open file');
      await assert.rejects(cancelTransaction(layout.lock), /none of ours/);
    }
  });

  test('a lock file that was removed while one waited for it is no lock', async () => {
    const sysroot = newSysroot();
    const first = await FileLock.acquire(sysroot.layout.lock, 'exclusive');
    const second = sysroot.lock();
    // As stock lets go: the name first.
    unlinkSync(sysroot.layout.lock);
    const third = await FileLock.acquire(sysroot.layout.lock, 'exclusive');
    first[Symbol.dispose]();
    const early = await Promise.race([second.then(() => true), new Promise((done) => setTimeout(done, 600))]);
    assert.notEqual(early, true, 'the lock of the new file is held by somebody else');
    third[Symbol.dispose]();
    using _held = await second;
    assert.equal(activeTransaction(sysroot.layout.lock)?.pid, process.pid);
  });
});

describe('cancel', () => {
  test('ends the command that holds the lock and waits for it', async () => {
    const { path, layout } = newSysroot();
    const child = await worker(path);
    const told: (string | null)[] = [];
    const ended = await cancelTransaction(layout.lock, { onCancel: ({ title }) => told.push(title) });
    assert.equal(ended?.pid, child.pid);
    assert.deepEqual(told, ['upgrade --reboot']);
    assert.equal(activeTransaction(layout.lock), null);
  });

  test('one that does not listen is reported, not killed', async () => {
    const { path, layout } = newSysroot();
    const child = await worker(path, "process.on('SIGTERM', () => {});");
    await assert.rejects(cancelTransaction(layout.lock, { timeoutSeconds: 0.3 }), /still works/);
    assert.equal(child.exitCode, null);
    assert.equal(activeTransaction(layout.lock)?.pid, child.pid);
    child.kill('SIGKILL');
    await once(child, 'close');
    assert.equal(activeTransaction(layout.lock), null, 'its record is there, and not believed');
  });
});
