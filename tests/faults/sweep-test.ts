import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { makeProgram, serve } from './program.ts';
import { STOCK, scenarios } from './scenarios.ts';
import { sweep } from './sweep.ts';

/** Why faults cannot be injected here, or false. */
export function missing(): string | false {
  const program = [STOCK, '/usr/bin/strace'].find((path) => !existsSync(path));
  if (program !== undefined) return `${program} is not installed`;
  return process.getuid?.() === 0 ? false : 'mode bare needs root';
}

/** Declares a test for each scenario named: all its points once; with FAULTS=all in the environment, each with each error. */
export async function testScenarios(names: RegExp): Promise<void> {
  const all = process.env['FAULTS'] === 'all';
  const skip = missing();
  // A real file system: owners, user xattrs and links.
  const scratch = mkdtempSync('/var/tmp/atomic-faults-');
  after(() => rmSync(scratch, { recursive: true, force: true }));
  const program = skip === false ? await makeProgram(join(scratch, 'program')) : [];
  const server = skip === false ? await serve(scratch) : undefined;
  after(() => server?.[Symbol.dispose]());
  for (const scenario of scenarios((folder) => `${server?.url}/${basename(folder)}`)) {
    if (!names.test(scenario.name)) continue;
    test(`${scenario.name}: broken at each system call`, { skip, timeout: 3_600_000 }, (t) => {
      const every = scenario.alike === true && !all ? 6 : 1;
      const found = sweep(scenario, { program, scratch, errors: all ? 'all' : 'one', every });
      const { points, runs, met, survived, aborted, problems } = found;
      t.diagnostic(
        `${points} system calls, ${runs} runs; the fault was met in ${met}, ${survived} ended well in spite of it; Node gave up in ${aborted}`,
      );
      assert.deepEqual(problems, []);
      assert.ok(points > 50 / every, `only ${points} system calls were found`);
      assert.ok(met > 0.9 * runs, `only ${met} of ${runs} faults were met`);
    });
  }
}
