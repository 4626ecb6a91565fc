import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { settle } from './output.ts';

const folder = mkdtempSync(join(tmpdir(), 'atomic-output-'));
after(() => rmSync(folder, { recursive: true }));

test('what was made aside gets its name; a folder that had it is there to be removed', async () => {
  const [aside, out] = [join(folder, 'aside'), join(folder, 'out')];
  writeFileSync(aside, 'new');
  writeFileSync(out, 'old');
  await settle(aside, out);
  assert.equal(readFileSync(out, 'utf8'), 'new');
  assert.deepEqual(readdirSync(folder), ['out']);
  for (const place of ['sets', 'more']) {
    mkdirSync(join(folder, 'aside/in'), { recursive: true });
    writeFileSync(join(folder, 'aside/in/file'), place);
    await settle(join(folder, 'aside'), join(folder, 'set'));
    assert.equal(readFileSync(join(folder, 'set/in/file'), 'utf8'), place);
  }
  assert.equal(readFileSync(join(folder, 'aside/in/file'), 'utf8'), 'sets');
});
