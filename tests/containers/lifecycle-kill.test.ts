import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { lifecycleScenarios, picture, problems } from '../faults/lifecycle-scenarios.ts';
import { makeStep } from '../faults/program.ts';
import { scratchFolder } from './lab.ts';

// Killed for real before every step of the journal, those of the way back among them; tests/faults/lifecycle.test.ts does the
// same before every system call.
test('killed before each step of each change: exactly one whole deployment, the one before', async (t) => {
  using scratch = scratchFolder('lifecycle-kill');
  const step = await makeStep(join(scratch.path, 'program'), 'lifecycle-step.ts');
  const [bin = '', ...words] = step;
  const env = { ...process.env, NODE_COMPILE_CACHE: join(scratch.path, 'compiled') };
  const run = (...args: string[]) => spawnSync(bin, [...words, ...args], { encoding: 'utf8', env });
  for (const { name, prepare } of lifecycleScenarios(step)) {
    const base = join(scratch.path, name);
    prepare(base);
    const before = picture(base);
    const folder = `${base}-run`;
    const fresh = (): void => {
      rmSync(folder, { recursive: true, force: true });
      cpSync(base, folder, { recursive: true, verbatimSymlinks: true });
    };
    fresh();
    const undisturbed = run(name, folder);
    assert.equal(undisturbed.status, 0, undisturbed.stderr);
    const after = picture(folder);
    assert.equal(after === before, name === 'unwell');
    fresh();
    const count = Number(run(name, folder, '1000000').stdout.trim());
    assert.ok(count >= 7, `${name} has ${count} steps`);
    for (let at = 0; at < count; at++) {
      fresh();
      assert.equal(run(name, folder, String(at)).signal, 'SIGKILL');
      assert.deepEqual(problems(folder), [], `${name} killed before step ${at}`);
      const recovered = run('recover', folder);
      assert.equal(recovered.status, 0, recovered.stderr);
      assert.equal(picture(folder), before, `${name} killed before step ${at}`);
      // What comes next starts from what came before; a part of the steps is enough to see that.
      if (at % 4 !== 0) continue;
      const again = run(name, folder);
      assert.equal(again.status, 0, again.stderr);
      assert.equal(picture(folder), after, `${name} killed before step ${at}, and done again`);
    }
    t.diagnostic(`${name}: ${count} steps`);
  }
});
