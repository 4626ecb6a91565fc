import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Ended, ERRORS, type Fault, findPoints, type Point, runWithFault } from './points.ts';
import { contents, copy, type Scenario, STOCK } from './scenarios.ts';

/** What a sweep over one scenario found. */
export interface Sweep {
  name: string;
  points: number;
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
  /** What runs `ostree`. */
  program: readonly string[];
  scratch: string;
  /** `all`: each error at each point; `one`: each point once, with one error or another. SIGKILL comes wherever the disk changes. */
  errors: 'all' | 'one';
  /** Every how many points; 1 is all. Which ones changes from day to day. */
  every: number;
}

/** Times a fault is tried until a call about the folder gets it. */
const TRIES = 3;

function plan(points: readonly Point[], errors: 'all' | 'one'): { point: Point; fault: Fault }[] {
  return points.flatMap((point, index) => {
    const kinds: Fault[] = errors === 'all' ? [...ERRORS] : [ERRORS[index % ERRORS.length] ?? 'EIO'];
    if (point.changes) kinds.push('SIGKILL');
    return kinds.map((fault) => ({ point, fault }));
  });
}

/**
 * Breaks an operation at each of its system calls in turn. After each: stock's fsck finds the repository whole; success
 * was claimed only where it is true; run again, the operation succeeds and leaves what an undisturbed run leaves.
 */
export function sweep(scenario: Scenario, { program, scratch, errors, every }: SweepOptions): Sweep {
  const base = join(scratch, `${scenario.name.replace(/\W+/g, '-')}`);
  mkdirSync(base);
  scenario.prepare(base);
  const command = (folder: string): string[] => [...program, ...scenario.args(folder)];
  const folder = `${base}-run`;
  const repo = join(folder, 'repo');
  const fresh = (): void => {
    rmSync(folder, { recursive: true, force: true });
    copy(base, folder);
  };
  fresh();
  const day = Math.floor(Date.now() / 86_400_000);
  const points = findPoints(command(folder), folder).filter((_, index) => (index + day) % every === 0);
  const right = contents(repo);
  const found: Sweep = {
    name: scenario.name,
    points: points.length,
    runs: 0,
    met: 0,
    survived: 0,
    aborted: 0,
    problems: [],
  };
  for (const { point, fault } of plan(points, errors)) {
    found.runs++;
    let ended: Ended;
    let tries = 0;
    do {
      fresh();
      ended = runWithFault(command(folder), folder, point, fault);
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
      if (contents(repo) !== right) blame('claimed success, but the result is another');
    } else if (/Assertion failed: .*uv_fs_close/.test(ended.stderr)) found.aborted++;
    else if (fault !== 'SIGKILL' && !/error: /.test(ended.stderr)) {
      blame(`no error was told (status ${ended.status}, ${ended.signal}): ${ended.stderr.slice(0, 300)}`);
    } else if (/defect in atomic/.test(ended.stderr)) blame(`an unforeseen error: ${ended.stderr.slice(0, 300)}`);
    const whole = spawnSync(STOCK, ['fsck', '-q', `--repo=${repo}`], { encoding: 'utf8' });
    if (whole.status !== 0) blame(`stock fsck: ${whole.stderr}`);
    if (done) continue;
    const [bin = '', ...args] = command(folder);
    const again = spawnSync(bin, args, { cwd: '/', encoding: 'utf8', timeout: 60_000 });
    if (again.status !== 0) blame(`run again, it fails: ${again.stderr}`);
    else if (contents(repo) !== right) blame('run again, the result is another');
  }
  for (const path of [base, folder]) rmSync(path, { recursive: true, force: true });
  return found;
}
