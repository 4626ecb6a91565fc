/**
 * Runs podman's published Quadlet fixtures through a generator and holds the outcome to not-passing.json.
 *
 *   run.ts [--suite=experimental] [--generator=ours|stock] [--compare]
 *
 * With --compare the whole output of ours is held beside that of podman's own generator.
 *
 * The fixtures come out of Debian's source package of podman in the suite, or out of the folder in ATOMIC_PODMAN_SOURCE.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { type Case, readCases, unlistedCases } from './cases.ts';
import { differences, readOutput } from './compare-output.ts';
import { podmanGenerator, podmanSource } from './podman-package.ts';
import { type Generator, layOut, OURS, runCase, stock } from './run-case.ts';

const { values } = parseArgs({
  options: {
    suite: { type: 'string', default: 'experimental' },
    generator: { type: 'string', default: 'ours' },
    compare: { type: 'boolean', default: false },
  },
});

const known = z
  .array(z.strictObject({ file: z.string(), assertion: z.string(), reason: z.string().min(10) }))
  .parse(JSON.parse(readFileSync(join(import.meta.dirname, 'not-passing.json'), 'utf8')));

function chooseGenerator(): Generator {
  if (values.generator === 'ours') return OURS;
  const found = podmanGenerator(values.suite);
  if ('reason' in found) throw new Error(`podman's generator ${found.reason}`);
  console.log(`generator of podman ${found.version}`);
  return stock(found.program);
}

/** Both generators over one case's sources. */
function compareCase(source: string, one: Case): string[] {
  const found = podmanGenerator(values.suite);
  if ('reason' in found) throw new Error(`podman's generator ${found.reason}`);
  const scratch = mkdtempSync(join(tmpdir(), 'atomic-quadlet-'));
  try {
    const { sources, output } = layOut(source, one, scratch);
    OURS(sources, output);
    const theirs = join(scratch, 'theirs');
    stock(found.program)(sources, theirs);
    return differences(readOutput(output, '/usr/bin/podman'), readOutput(theirs, '/usr/bin/podman'));
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

function main(): number {
  const source = podmanSource(values.suite);
  if ('reason' in source) {
    console.log(`SKIP  podman's fixtures: the source package ${source.reason}`);
    return 0;
  }
  const generator = chooseGenerator();
  const listed = readCases(source.folder);
  const cases = [...listed, ...unlistedCases(source.folder, listed)];
  const totals = { files: 0, whole: 0, passed: 0, failed: 0 };
  const kinds = new Map<string, { passed: number; all: number }>();
  const surprises: string[] = [];
  const differing: string[] = [];
  let compared = 0;
  const met = new Set<string>();
  for (const one of cases) {
    if (values.compare) {
      differing.push(...compareCase(source.folder, one).map((line) => `${one.file}: ${line}`));
      compared++;
      continue;
    }
    const scratch = mkdtempSync(join(tmpdir(), 'atomic-quadlet-'));
    const result = runCase(source.folder, one, generator, scratch);
    rmSync(scratch, { recursive: true });
    totals.files++;
    totals.passed += result.passed;
    totals.failed += result.failed.length;
    if (result.failed.length === 0) totals.whole++;
    for (const assertion of one.assertions) {
      const verb = assertion[0] ?? '';
      const kind = kinds.get(verb) ?? { passed: 0, all: 0 };
      kind.all++;
      if (!result.failed.includes(assertion.join(' '))) kind.passed++;
      kinds.set(verb, kind);
    }
    for (const failed of result.failed) {
      const entry = known.find(({ file, assertion }) => file === one.file && failed.startsWith(assertion));
      if (entry === undefined) surprises.push(`${one.file}: ${failed}`);
      else met.add(`${entry.file}: ${entry.assertion}`);
    }
  }
  if (values.compare) {
    console.log(`${compared} cases compared whole, ${differing.length} units differ`);
    if (differing.length > 0) console.log(differing.join('\n'));
    return differing.length === 0 ? 0 : 1;
  }
  for (const [verb, { passed, all }] of [...kinds].sort()) console.log(`${verb.padEnd(44)} ${passed} of ${all}`);
  const assertions = [...kinds.values()].reduce((sum, { all }) => sum + all, 0);
  const held = [...kinds.values()].reduce((sum, { passed }) => sum + passed, 0);
  console.log(
    `\n${totals.whole} of ${totals.files} cases pass whole; ${held} of ${assertions} assertions of their files hold; ` +
      `with status, message and existence ${totals.passed} of ${totals.passed + totals.failed}`,
  );
  for (const { file, assertion } of values.generator === 'ours' ? known : []) {
    if (!met.has(`${file}: ${assertion}`))
      surprises.push(`${file}: ${assertion} holds: take it out of not-passing.json`);
  }
  if (surprises.length > 0) console.log(`\nNot as not-passing.json says:\n  ${surprises.join('\n  ')}`);
  return surprises.length === 0 ? 0 : 1;
}

process.exitCode = main();
