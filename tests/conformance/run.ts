/**
 * Runs upstream's installed tests against an `ostree` and holds the outcome to not-passing.json.
 *
 *   run.ts [OPTIONS] [SCRIPT...]        scripts by name, with or without test- and .sh; else all of the kinds asked for
 *   --ostree=PATH      the program to test (bin/ostree); `stock` for the machine's own
 *   --suite=NAME       bookworm (installed), trixie or sid (downloaded, not installed); may be repeated; all
 *   --kind=KIND        store, admin, helper or library; may be repeated; store and helper
 *   --budget=MINUTES   start no script after so long; which ones fall out changes from day to day
 *   --jobs=N           scripts at once (2)
 *   --timeout=SECONDS  for one script (400)
 *   --logs=DIR         their outputs (build/conformance)
 *   --scratch=DIR      where they work (/var/tmp); needs user xattrs, and reflinks for one of them
 *   --refresh          download the suites again
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { readKnown, surprise } from './not-passing.ts';
import { makeShims, runScript, webServer } from './run-script.ts';
import { findSuite, type Kind, SUITES, type Suite, scriptsOf } from './suites.ts';

const root = join(import.meta.dirname, '../..');
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    ostree: { type: 'string', default: join(root, 'bin/ostree') },
    suite: { type: 'string', multiple: true, default: [...SUITES] },
    kind: { type: 'string', multiple: true, default: ['store', 'helper'] satisfies Kind[] },
    budget: { type: 'string' },
    jobs: { type: 'string', default: '2' },
    timeout: { type: 'string', default: '400' },
    logs: { type: 'string', default: join(root, 'build/conformance') },
    scratch: { type: 'string', default: '/var/tmp' },
    refresh: { type: 'boolean', default: false },
  },
});
const ours = values.ostree !== 'stock';
const wanted = positionals.map((name) =>
  basename(name)
    .replace(/^test-/, '')
    .replace(/\.(sh|py|js)$/, ''),
);
const isWanted = (script: string, kind: Kind): boolean =>
  wanted.length === 0
    ? values.kind.includes(kind)
    : wanted.includes(script.replace(/^test-/, '').replace(/\.(sh|py|js)$/, ''));

const scratch = mkdtempSync(join(resolve(values.scratch), 'atomic-conformance-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));

interface Job {
  suite: Suite;
  script: string;
  environment: Record<string, string>;
}
const jobs: Job[] = [];
for (const name of SUITES.filter((one) => values.suite.includes(one))) {
  const suite = findSuite(name, join(root, 'build/cache/suites'), values.refresh);
  if (typeof suite === 'string') {
    console.log(`SKIP  suite ${name}: ${suite}`);
    continue;
  }
  const environment = webServer(suite);
  const scripts = scriptsOf(suite).filter(({ script, kind }) => isWanted(script, kind));
  console.log(`suite ${name}: ostree-tests ${suite.version}, ${scripts.length} scripts`);
  jobs.push(...scripts.map(({ script }) => ({ suite, script, environment })));
}
if (values.budget !== undefined) {
  // Another order each day: what a budget leaves out today is early tomorrow.
  const day = new Date().toISOString().slice(0, 10);
  const key = ({ suite, script }: Job): string =>
    createHash('sha256').update(`${day} ${suite.name} ${script}`).digest('hex');
  jobs.sort((a, b) => (key(a) < key(b) ? -1 : 1));
}
if (process.getuid?.() !== 0) console.log('note: without root the scripts for mode bare, and those with sudo, skip');
if (!existsSync('/usr/bin/getfattr')) console.log('note: without the package attr many scripts skip');

const known = readKnown();
const shims = makeShims(scratch, ours ? resolve(values.ostree) : undefined);
const deadline = values.budget === undefined ? Number.POSITIVE_INFINITY : Number(values.budget) * 60_000;
const totals = { pass: 0, skip: 0, fail: 0, timeout: 0 };
const assertions = { passed: 0, skipped: 0 };
const surprises: string[] = [];
let left = 0;

async function work(queue: Iterator<Job>): Promise<void> {
  for (let next = queue.next(); next.done !== true; next = queue.next()) {
    const { suite, script, environment } = next.value;
    if (performance.now() > deadline) {
      left++;
      continue;
    }
    const outcome = await runScript({
      suite,
      script,
      shims,
      environment,
      scratch,
      logs: join(resolve(values.logs), suite.name),
      timeoutMs: Number(values.timeout) * 1000,
    });
    totals[outcome.result]++;
    assertions.passed += outcome.passed;
    assertions.skipped += outcome.skipped;
    const odd = ours ? surprise(known, suite.name, script, outcome) : undefined;
    if (odd !== undefined) surprises.push(`${suite.name} ${script}: ${odd}`);
    console.log(
      [
        outcome.result.toUpperCase().padEnd(8),
        `${outcome.seconds.toFixed(1)}s`.padStart(7),
        String(outcome.passed).padStart(4),
        ` ${suite.name.padEnd(9)}${script.padEnd(44)}`,
        outcome.why,
      ].join(' '),
    );
  }
}
const queue = jobs.values();
await Promise.all(Array.from({ length: Number(values.jobs) }, () => work(queue)));

const ran = totals.pass + totals.skip + totals.fail + totals.timeout;
console.log(
  `\n${ran} scripts: ${totals.pass} pass, ${totals.fail} fail, ${totals.timeout} timeout, ${totals.skip} skip; ` +
    `assertions passed ${assertions.passed} (skipped ${assertions.skipped})${left > 0 ? `; ${left} scripts not today` : ''}`,
);
if (surprises.length > 0) console.log(`\nNot as tests/conformance/not-passing.json says:\n  ${surprises.join('\n  ')}`);
process.exitCode = surprises.length === 0 ? 0 : 1;
