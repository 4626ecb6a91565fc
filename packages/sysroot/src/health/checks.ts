import type { Repo } from '@atomic/ostree';
import { type Baseline, engineAnswers, hasEngine } from './baseline.ts';
import type { HealthConfig } from './config.ts';
import type { CheckedMachine } from './machine.ts';
import type { CheckResult, Failure } from './records.ts';
import { disabledScripts, findScripts, runScript } from './scripts.ts';
import { describeUnit, judgeUnit, type UnitState, unitStates } from './units.ts';

/** What is to be checked. */
export interface CheckPlan {
  config: HealthConfig;
  /** What was wrong with the settings. */
  problems: readonly string[];
  /** What was up before; null: nothing is known. */
  baseline: Baseline | null;
  /** The running system's root. */
  root: string;
  repo: Repo;
  /** Seconds from now until all has to be well. */
  seconds: number;
}

/**
 * Runs every check, all kinds beside each other, until each came to an end or the time is up. Never throws for what a
 * check does.
 */
export async function runChecks(machine: CheckedMachine, plan: CheckPlan): Promise<CheckResult[]> {
  const until = machine.clock() + plan.seconds;
  const groups = await Promise.all([
    scripts(machine, plan, until),
    units(machine, plan, until),
    network(machine, plan, until),
    engines(machine, plan, until),
  ]);
  const settings = plan.problems.map(
    (problem): CheckResult => ({ name: 'settings', required: false, state: 'failed', seconds: 0, output: problem }),
  );
  return [...groups.flat(), ...settings];
}

/** The failure of a boot by its checks: the first required one that is not well; null when all are. */
export function failureOf(checks: readonly CheckResult[]): Failure | null {
  const failed = checks.filter(({ required, state }) => required && (state === 'failed' || state === 'timed-out'));
  const [first] = failed;
  if (first === undefined) return null;
  // How it ended, and the last thing it printed: what comes before is mostly on the way there.
  const lines = first.output.split('\n').filter((line) => line.trim() !== '');
  const said = lines.length > 1 ? [lines[0], lines.at(-1)] : lines;
  const why = said.map((line) => line?.trim().slice(0, 160)).join(': ');
  const others = failed.length === 1 ? '' : ` (and ${failed.length - 1} more)`;
  return { reason: `${first.name}: ${why === '' ? first.state : why}${others}`, output: first.output };
}

async function scripts(machine: CheckedMachine, plan: CheckPlan, until: number): Promise<CheckResult[]> {
  const off = disabledScripts(plan.root);
  const results: CheckResult[] = [];
  for (const kind of ['required', 'wanted'] as const) {
    for (const path of findScripts(plan.root, `check/${kind}.d`)) {
      const base = path.slice(path.lastIndexOf('/') + 1);
      const script = { path, name: `${kind}.d/${base}`, required: kind === 'required' };
      if (off.has(base)) {
        const { name, required } = script;
        const output = 'switched off in greenboot.conf';
        results.push({ name: `script ${name}`, required, state: 'skipped', seconds: 0, output });
        continue;
      }
      // One second at least: what there is no time for fails as too slow, not as never run.
      const seconds = Math.max(1, Math.min(plan.config.scriptSeconds, until - machine.clock()));
      results.push(await runScript(machine, script, seconds));
    }
  }
  return results;
}

interface WatchedUnit {
  name: string;
  required: boolean;
  /** Declared in the settings, or found running before the switch. */
  why: 'declared' | 'before';
}

/** Between two looks at units, and how long all have to stay well. */
const INTERVAL = 2;
/** For units that nothing has started: a timer or a path may, but the boot is over. */
const GRACE = 15;

async function units(machine: CheckedMachine, plan: CheckPlan, until: number): Promise<CheckResult[]> {
  const watched = new Map<string, WatchedUnit>();
  const { config, baseline } = plan;
  if (config.defaultChecks) {
    for (const name of baseline?.units ?? []) watched.set(name, { name, required: true, why: 'before' });
  }
  for (const name of config.wantedUnits) watched.set(name, { name, required: false, why: 'declared' });
  for (const name of config.requiredUnits) watched.set(name, { name, required: true, why: 'declared' });
  const list = [...watched.values()];
  if (list.length === 0) return [];
  const names = list.map(({ name }) => name);
  const start = machine.clock();
  let before: UnitState[] | null = null;
  for (;;) {
    const states = await unitStates(machine, names);
    const seconds = machine.clock() - start;
    const late = machine.clock() + INTERVAL > until;
    if (states !== null) {
      const settled = list.every((unit, index) => isSettled(unit, states[index], seconds));
      // A service that falls over is well for an instant each time it is started again.
      const steady = before !== null && states.every(({ restarts }, index) => restarts === before?.[index]?.restarts);
      const failed = list.some((unit, index) => unit.required && outcome(unit, states[index]) === 'failed');
      if (late || (settled && (steady || failed))) {
        return list.map((unit, index) => report(unit, states[index], seconds, settled && (steady || failed)));
      }
      before = settled ? states : null;
    } else if (late) {
      return list.map((unit) => report(unit, undefined, seconds, false));
    }
    await machine.sleep(INTERVAL);
  }
}

function outcome(unit: WatchedUnit, state: UnitState | undefined): 'ok' | 'failed' | 'skipped' {
  const judged = state === undefined ? 'failed' : judgeUnit(state);
  if (judged === 'ok') return 'ok';
  return judged === 'gone' && unit.why === 'before' ? 'skipped' : 'failed';
}

function isSettled(unit: WatchedUnit, state: UnitState | undefined, seconds: number): boolean {
  const judged = state === undefined ? 'waiting' : judgeUnit(state);
  return judged !== 'waiting' && (judged !== 'idle' || seconds >= GRACE || !unit.required);
}

function report(unit: WatchedUnit, state: UnitState | undefined, seconds: number, settled: boolean): CheckResult {
  const found = outcome(unit, state);
  const what = state === undefined ? 'systemd does not answer' : describeUnit(state);
  const ran = unit.why === 'before' && found !== 'ok' ? `${what}; it ran before the switch` : what;
  const unsteady = found === 'ok' && !settled && state !== undefined && state.restarts > 0;
  return {
    name: `unit ${unit.name}`,
    required: unit.required,
    state: unsteady ? 'failed' : found === 'failed' && !settled ? 'timed-out' : found,
    seconds,
    output: ran,
  };
}

/** What one attempt at a server or an engine may take. */
const ATTEMPT = 15;

/** Tries something until it works or the time is up. */
async function persist(
  machine: CheckedMachine,
  name: string,
  until: number,
  attempt: (seconds: number) => Promise<void>,
): Promise<CheckResult> {
  const start = machine.clock();
  for (;;) {
    try {
      await attempt(Math.max(1, Math.min(ATTEMPT, until - machine.clock())));
      return { name, required: true, state: 'ok', seconds: machine.clock() - start, output: '' };
    } catch (error) {
      if (machine.clock() + INTERVAL > until) {
        const output = `${error instanceof Error ? error.message : String(error)}; it answered before the switch`;
        return { name, required: true, state: 'failed', seconds: machine.clock() - start, output };
      }
    }
    await machine.sleep(INTERVAL);
  }
}

async function network(machine: CheckedMachine, plan: CheckPlan, until: number): Promise<CheckResult[]> {
  const { config, baseline, repo } = plan;
  const remote = baseline?.server ?? null;
  // Without a URL it is no longer a remote here.
  if (!config.defaultChecks || remote === null || repo.remoteOption(remote, 'url') === undefined) return [];
  const check = (seconds: number) => machine.reach(repo, remote, seconds);
  return [await persist(machine, `update server of ${remote}`, until, check)];
}

async function engines(machine: CheckedMachine, plan: CheckPlan, until: number): Promise<CheckResult[]> {
  const { config, baseline } = plan;
  if (!config.defaultChecks || baseline === null) return [];
  return await Promise.all(
    baseline.engines
      .filter((engine) => hasEngine(plan.root, engine))
      .map((engine) =>
        persist(machine, `container engine ${engine}`, until, async (seconds) => {
          if (!(await engineAnswers(machine, engine, seconds))) throw new Error('no answer');
        }),
      ),
  );
}
