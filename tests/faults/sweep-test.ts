import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { makeProgram, serve } from './program.ts';
import { repoScenarios, type Scenario, STOCK } from './scenarios.ts';
import { type SweepOptions, sweep } from './sweep.ts';

/** Why faults cannot be injected here, or false. */
export function missing(): string | false {
  const program = [STOCK, '/usr/bin/strace'].find((path) => !existsSync(path));
  if (program !== undefined) return `${program} is not installed`;
  return process.getuid?.() === 0 ? false : 'mode bare needs root';
}

/** FAULTS=all: each error at each point. */
const ALL = process.env['FAULTS'] === 'all';

/** Declares a test that breaks a scenario at each of its points. */
export function testScenario(scenario: Scenario, options: SweepOptions & { skip: string | false }): void {
  test(`${scenario.name}: broken at each system call`, { skip: options.skip, timeout: 3_600_000 }, (t) => {
    const { points, fleeting, runs, met, survived, aborted, problems } = sweep(scenario, options);
    t.diagnostic(
      `${points} system calls (left out: ${fleeting} on names of one run), ${runs} runs; the fault was met in ${met}, ${survived} ended well in spite of it; Node gave up in ${aborted}`,
    );
    assert.deepEqual(problems, []);
    assert.ok(points > 50 / options.every, `only ${points} system calls were found`);
    assert.ok(met > 0.9 * runs, `only ${met} of ${runs} faults were met`);
  });
}

/** Declares a test for each scenario of a repository that is named: all its points once, or with {@link ALL} errors. */
export async function testRepoScenarios(names: RegExp): Promise<void> {
  const skip = missing();
  // A real file system: owners, user xattrs and links.
  const scratch = mkdtempSync('/var/tmp/atomic-faults-');
  after(() => rmSync(scratch, { recursive: true, force: true }));
  const program = skip === false ? await makeProgram(join(scratch, 'program')) : [];
  const server = skip === false ? await serve(scratch) : undefined;
  after(() => server?.[Symbol.dispose]());
  for (const scenario of repoScenarios(program, (folder) => `${server?.url}/${basename(folder)}`)) {
    if (!names.test(scenario.name)) continue;
    const every = scenario.alike === true && !ALL ? 6 : 1;
    testScenario(scenario, { skip, scratch, logs: scratch, errors: ALL ? 'all' : 'one', every });
  }
}
