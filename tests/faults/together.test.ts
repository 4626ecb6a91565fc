import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { makeProgram } from './program.ts';
import { missing } from './sweep-test.ts';
import { together } from './together.ts';

/** Longer runs set it. */
const seconds = Number(process.env['TOGETHER_SECONDS'] ?? '60');
const skip = missing();
const scratch = mkdtempSync('/var/tmp/atomic-together-');
after(() => rmSync(scratch, { recursive: true, force: true }));

test('commits, pulls and prunes at once lose nothing', { skip, timeout: (seconds + 120) * 1000 }, async (t) => {
  const program = await makeProgram(join(scratch, 'program'));
  const { commits, pulls, prunes, problems } = await together(program, scratch, seconds);
  t.diagnostic(`${seconds} s: ${commits} commits, ${pulls} pulls, ${prunes} prunes`);
  assert.deepEqual(problems, []);
  assert.ok(commits > 0 && pulls > 0 && prunes > 0);
});
