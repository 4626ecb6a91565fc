// What `make demo` runs, as a test, with what a person could not see at a glance checked besides.
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { test } from 'node:test';
import { runDemo } from '../../demo/demo.ts';
import { whatIsMissing } from '../../demo/host.ts';
import { stockFsck } from './disk.ts';
import { cachedir, stateFolder, testReporter } from './setup.ts';

const missing = whatIsMissing();

test('a treefile becomes a machine that upgrades and rolls back', {
  skip: missing ?? false,
  timeout: 15 * 60_000,
}, async (t) => {
  const state = stateFolder('lifecycle');
  const log: string[] = [];
  try {
    const summary = await runDemo({ state, cachedir, progress: false, reporter: testReporter(log), signal: t.signal });
    for (const { name, seconds } of summary.phases) t.diagnostic(`${name}: ${seconds.toFixed(1)} s`);
    t.diagnostic(`image ${(summary.image.allocated / 1048576).toFixed(0)} MiB, pulled ${summary.pulled.bytes} bytes`);
    t.diagnostic(`guest memory ${summary.guestMemoryMiB.used} of ${summary.guestMemoryMiB.total} MiB`);
    assert.ok(summary.pulled.requests > 10, 'the upgrade came over HTTP');
    // An upgrade fetches what changed, not the whole tree again.
    assert.ok(summary.pulled.bytes < summary.image.allocated / 4, `pulled ${summary.pulled.bytes}`);
    const fsck = await stockFsck(summary.image.path);
    t.diagnostic(fsck);
    await rm(summary.image.path);
  } catch (error) {
    console.log(log.join('\n'));
    throw error;
  }
});
