import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { run } from './tools.ts';

const folder = mkdtempSync(join(tmpdir(), 'atomic-tools-'));
after(() => rmSync(folder, { recursive: true }));
// tar's packer is a child of its own: it can say where it is, and outlive tar.
const pack = (packer: string): string[] => [
  '-C',
  folder,
  '-I',
  packer,
  '-cf',
  join(folder, 'out'),
  '--files-from=/dev/null',
];
const groupOf = (pid: string): string | undefined =>
  readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[2];

test('a tool is in a process group of its own, where a Ctrl-C at the terminal does not reach it', async () => {
  await run('tar', pack(`cp /proc/self/stat ${folder}/stat`));
  const own = readFileSync(join(folder, 'stat'), 'utf8').split(') ')[1]?.split(' ')[2];
  assert.notEqual(own, groupOf('self'));
});

test('an abort ends what a tool started as well', { timeout: 20_000 }, async () => {
  const start = performance.now();
  await assert.rejects(run('tar', pack('sleep 15'), { signal: AbortSignal.timeout(300) }));
  assert.ok(performance.now() - start < 10_000);
});

test('a tool that fails is told with its last line', async () => {
  await assert.rejects(run('tar', ['-xf', join(folder, 'none')]), /^AtomicError: tar failed: .*Error is not recover/);
  assert.equal(existsSync(join(folder, 'none')), false);
});
