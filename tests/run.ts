/**
 * Runs the tests with Node's own runner, in groups one after another, for two cores. One closing summary for all.
 * `--fast` leaves the slow ones out, `--slow` the fast ones; other arguments name files.
 */
import { globSync } from 'node:fs';
import path from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const root = path.join(import.meta.dirname, '..');
const MINUTE = 60_000;

interface Group {
  patterns: string[];
  /** Run at the same time as the others, one after another. */
  beside?: string[];
  concurrency: number;
  /** For one file, in milliseconds. */
  timeout: number;
  fast: boolean;
}

const GROUPS: Group[] = [
  {
    patterns: [
      'packages/*/src/**/*.test.ts',
      'tests/*.test.ts',
      'tests/interop/**/*.test.ts',
      'tests/conformance/**/*.test.ts',
      'tests/fuzz/**/*.test.ts',
      'tests/containers/**/*.test.ts',
      'demo/**/*.test.ts',
    ],
    concurrency: 2,
    timeout: 8 * MINUTE,
    fast: true,
  },
  // Machines in one lane: two at a time would take as long as one after another. What is limited in time comes first.
  {
    patterns: ['tests/power/!(replay).test.ts', 'tests/vm/**/*.test.ts'],
    beside: ['tests/faults/**/*.test.ts', 'tests/compose/**/*.test.ts', 'tests/power/replay.test.ts'],
    concurrency: 1,
    timeout: 30 * MINUTE,
    fast: false,
  },
];

/** The counts of Node's closing lines, in their order. */
const COUNTS = ['tests', 'suites', 'passed', 'failed', 'cancelled', 'skipped', 'todo'] as const;
const NAMES: Record<(typeof COUNTS)[number], string> = {
  tests: 'tests',
  suites: 'suites',
  passed: 'pass',
  failed: 'fail',
  cancelled: 'cancelled',
  skipped: 'skipped',
  todo: 'todo',
};

interface Lane {
  files: string[];
  concurrency: number;
  timeout: number;
}

const started = performance.now();
const totals: Record<(typeof COUNTS)[number], number> = {
  tests: 0,
  suites: 0,
  passed: 0,
  failed: 0,
  cancelled: 0,
  skipped: 0,
  todo: 0,
};
let good = true;

/** What one run of Node's runner reports, save its own closing lines, which are counted. */
async function* eventsOf({ files, concurrency, timeout }: Lane) {
  if (files.length === 0) return;
  for await (const event of run({ files, concurrency, timeout, cwd: root })) {
    if (event.type === 'test:summary') {
      if (event.data.file !== undefined) continue;
      good &&= event.data.success;
      for (const name of COUNTS) totals[name] += event.data.counts[name];
      continue;
    }
    if (event.type === 'test:diagnostic' && event.data.nesting === 0 && isClosingLine(event.data.message)) continue;
    yield event;
  }
}

/** Everything the groups report; a lane beside another is shown when that one has ended. */
async function* events(groups: { lane: Lane; beside: Lane }[]) {
  for (const { lane, beside } of groups) {
    const later = collect(eventsOf(beside));
    yield* eventsOf(lane);
    yield* await later;
  }
  const lines = COUNTS.map((name) => `${NAMES[name]} ${totals[name]}`);
  for (const message of [...lines, `duration_ms ${performance.now() - started}`]) {
    yield { type: 'test:diagnostic', data: { nesting: 0, message, level: 'info' } } as const;
  }
}

async function collect<T>(from: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of from) all.push(one);
  return all;
}

function isClosingLine(message: string): boolean {
  return /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/.test(message);
}

const args = process.argv.slice(2);
const named = args.filter((arg) => !arg.startsWith('--'));
const filesOf = (patterns: readonly string[]): string[] =>
  patterns.flatMap((pattern) =>
    globSync(pattern, { cwd: root })
      .map((file) => path.join(root, file))
      .sort(),
  );
const none = { files: [], concurrency: 1, timeout: MINUTE };
const groups =
  named.length > 0
    ? [{ lane: { files: named.map((file) => path.resolve(file)), concurrency: 1, timeout: 15 * MINUTE }, beside: none }]
    : GROUPS.filter(({ fast }) => !args.includes(fast ? '--slow' : '--fast')).map(
        ({ patterns, beside = [], concurrency, timeout }) => ({
          lane: { files: filesOf(patterns), concurrency, timeout },
          beside: { files: filesOf(beside), concurrency, timeout },
        }),
      );

const reporter = new spec();
reporter.pipe(process.stdout);
for await (const event of events(groups))
  if (!reporter.write(event)) await new Promise((next) => reporter.once('drain', next));
reporter.end();
await new Promise((end) => reporter.once('end', end));
if (totals.tests === 0) process.stderr.write('error: no tests were found\n');
process.exitCode = good && totals.tests > 0 ? 0 : 1;
