import { execFileSync, spawnSync } from 'node:child_process';
import { globSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Ended, ERRORS, type Fault, findPoints, type Point, runWithFault } from './points.ts';
import { copy, type Scenario } from './scenarios.ts';

/** What a sweep over one scenario found. */
export interface Sweep {
  name: string;
  points: number;
  /** Calls about files whose names are another in each run: strace finds a call of another thread by its path alone. */
  fleeting: number;
  /** Faults tried, and how many were met; the others passed by another way (a retry less, a folder there) three times. */
  runs: number;
  met: number;
  /** Runs that went on to the right end in spite of it. */
  survived: number;
  /** Runs in which Node itself gave up: it asserts that close(2) never fails. */
  aborted: number;
  problems: string[];
}

export interface SweepOptions {
  /** Where the runs are. */
  scratch: string;
  /** Where the traces are: a run may freeze the file system it works on. */
  logs: string;
  /**
   * `all`: each error at each point; `one`: each point once, with another error every day; `none`. SIGKILL comes wherever the
   * disk changes.
   */
  errors: 'all' | 'one' | 'none';
  /** Every how many points; 1 is all. Which ones changes from day to day. */
  every: number;
}

/** Deployments in it may carry the immutable flag. */
function remove(folder: string): void {
  const trees = globSync('**/ostree/deploy/*/deploy/*.[0-9]', { cwd: folder });
  if (trees.length > 0) execFileSync('chattr', ['-i', ...trees], { cwd: folder });
  rmSync(folder, { recursive: true, force: true });
}

/** Times a fault is tried until a call about the folder gets it. */
const TRIES = 3;

function plan(points: readonly Point[], errors: SweepOptions['errors'], day: number): { point: Point; fault: Fault }[] {
  return points.flatMap((point, index) => {
    const some = { all: [...ERRORS], one: [ERRORS[(index + day) % ERRORS.length] ?? 'EIO'], none: [] };
    const kinds: Fault[] = some[errors];
    if (point.changes) kinds.push('SIGKILL');
    return kinds.map((fault) => ({ point, fault }));
  });
}

/**
 * Breaks an operation at each of its system calls in turn. After each: nothing is broken (stock's fsck, and what the
 * scenario asks besides); success was claimed only where it is true; recovered, it is as before or as it was to be; run
 * again, the operation succeeds and leaves what an undisturbed run leaves.
 */
export function sweep(scenario: Scenario, { scratch, logs, errors, every }: SweepOptions): Sweep {
  const base = join(scratch, `${scenario.name.replace(/\W+/g, '-')}`);
  mkdirSync(base);
  scenario.prepare(base);
  const { command, result, problems, recover, resume = command } = scenario;
  const before = recover === undefined ? undefined : result(base);
  const folder = `${base}-run`;
  const log = join(logs, 'trace');
  const fresh = (): void => {
    remove(folder);
    copy(base, folder);
  };
  fresh();
  const day = Math.floor(Date.now() / 86_400_000);
  const first = findPoints(command(folder), folder, log);
  fresh();
  const second = new Set(findPoints(command(folder), folder, log).map(({ path }) => path));
  const lasting = first.filter(({ path }) => second.has(path));
  const points = lasting.filter((_, index) => (index + day) % every === 0);
  const right = result(folder);
  for (const problem of problems(folder)) throw new Error(`${scenario.name}, undisturbed: ${problem}`);
  const found: Sweep = {
    name: scenario.name,
    points: points.length,
    fleeting: first.length - lasting.length,
    runs: 0,
    met: 0,
    survived: 0,
    aborted: 0,
    problems: [],
  };
  for (const { point, fault } of plan(points, errors, day)) {
    found.runs++;
    let ended: Ended;
    let tries = 0;
    do {
      fresh();
      ended = runWithFault(command(folder), folder, log, { point, fault });
    } while (!ended.met && ++tries < TRIES);
    // What another call than one about the folder got (Node gives up where it cannot wake its own threads) says nothing.
    if (!ended.met) continue;
    found.met++;
    const blame = (what: string): void => {
      found.problems.push(`${fault} at ${point.line.slice(0, 160)}: ${what}`);
    };
    const done = ended.status === 0;
    if (done) {
      found.survived++;
      if (result(folder) !== right) blame('claimed success, but the result is another');
    } else if (/Assertion failed: .*uv_fs_close/.test(ended.stderr)) found.aborted++;
    else if (fault !== 'SIGKILL' && !/error: /.test(ended.stderr)) {
      blame(`no error was told (status ${ended.status}, ${ended.signal}): ${ended.stderr.slice(0, 300)}`);
    } else if (/defect in atomic/.test(ended.stderr)) blame(`an unforeseen error: ${ended.stderr.slice(0, 300)}`);
    for (const problem of problems(folder)) blame(problem);
    if (done) continue;
    if (recover !== undefined) {
      const [bin = '', ...args] = recover(folder);
      const { status, stderr } = spawnSync(bin, args, { cwd: '/', encoding: 'utf8', timeout: 60_000 });
      const now = result(folder);
      if (status !== 0) blame(`recovery fails: ${stderr}`);
      else if (now !== before && now !== right) blame(`recovered, it is neither what was nor what was to be: ${now}`);
    }
    const [bin = '', ...args] = resume(folder);
    const again = spawnSync(bin, args, { cwd: '/', encoding: 'utf8', timeout: 60_000 });
    if (again.status !== 0) blame(`run again, it fails: ${again.stderr}`);
    else if (result(folder) !== right) blame(`run again, the result is another: ${result(folder)}, not ${right}`);
    for (const problem of problems(folder)) blame(`run again: ${problem}`);
  }
  for (const path of [base, folder]) remove(path);
  return found;
}
