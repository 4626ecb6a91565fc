import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { byLooking } from './confinement.ts';
import { DEFAULT_LIMITS } from './limits.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root';

/** Where there are no control groups, the sandbox's processes are found by their namespace. */
describe('bounds kept by looking', { skip }, () => {
  const inSandbox = async (script: string, use: (pid: number) => Promise<void>): Promise<void> => {
    const child = spawn('unshare', ['--pid', '--fork', '--kill-child', 'sh', '-c', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await new Promise((done) => child.stdout.once('data', done));
      assert.ok(child.pid !== undefined);
      await use(child.pid);
    } finally {
      child.kill('SIGKILL');
    }
  };

  test('processes', async () => {
    await inSandbox('for i in 1 2 3 4 5 6 7 8; do sleep 60 & done; echo ready; wait', async (pid) => {
      await delay(50);
      assert.equal(byLooking({ ...DEFAULT_LIMITS, processes: 100 }).exceeded(pid), null);
      assert.equal(byLooking({ ...DEFAULT_LIMITS, processes: 8 }).exceeded(pid), 'processes');
    });
  });

  test('memory', async () => {
    const hold = `exec ${process.execPath} -e "const held = Buffer.alloc(200e6, 1); console.log('ready'); setTimeout(() => held, 60e3)"`;
    await inSandbox(hold, async (pid) => {
      assert.equal(byLooking(DEFAULT_LIMITS).exceeded(pid), null);
      assert.equal(byLooking({ ...DEFAULT_LIMITS, memory: 100e6 }).exceeded(pid), 'memory');
    });
  });

  test('nothing of a process that has ended', () => {
    assert.equal(byLooking({ ...DEFAULT_LIMITS, processes: 0 }).exceeded(2 ** 30), null);
  });
});
