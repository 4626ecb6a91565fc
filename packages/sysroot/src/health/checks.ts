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

/** How long there is to wait for something to become well. */
interface Time {
  /** By the machine's clock. */
  until: number;
  /** A required check has failed for good: nobody waits any longer. */
  decided: boolean;
}

const NOT_WAITED_FOR = 'not waited for: another check failed';

/**
 * Runs every check, all kinds beside each other, until each came to an end or the time is up. Never throws for what a
 * check does.
 */
export async function runChecks(machine: CheckedMachine, plan: CheckPlan): Promise<CheckResult[]> {
  const time: Time = { until: machine.clock() + plan.seconds, decided: false };
  const groups = await Promise.all([
    scripts(machine, plan, time),
    units(machine, plan, time),
    network(machine, plan, time),
    engines(machine, plan, time),
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

async function scripts(machine: CheckedMachine, plan: CheckPlan, time: Time): Promise<CheckResult[]> {
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
      const seconds = Math.max(1, Math.min(plan.config.scriptSeconds, time.until - machine.clock()));
      const result = await runScript(machine, script, seconds);
      if (result.required && result.state !== 'ok') time.decided = true;
      results.push(result);
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

async function units(machine: CheckedMachine, plan: CheckPlan, time: Time): Promise<CheckResult[]> {
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
  let previous: UnitState[] | null = null;
  for (;;) {
    const states = await unitStates(machine, names);
    const seconds = machine.clock() - start;
    const late = machine.clock() + INTERVAL > time.until;
    const looks = list.map((unit, index) => look(unit, states?.[index], previous?.[index], seconds));
    const required = looks.filter(({ unit }) => unit.required);
    if (required.some(({ found }) => found === 'failed')) time.decided = true;
    // A service that falls over is well for an instant each time it is started again: two looks have to agree.
    const well = previous !== null && required.every(({ found, grew }) => found !== 'waiting' && !grew);
    if (late || time.decided || well) return looks.map((one) => report(one, seconds, late));
    previous = states;
    await machine.sleep(INTERVAL);
  }
}

/** What one look at a unit found. */
interface Look {
  unit: WatchedUnit;
  found: 'ok' | 'failed' | 'skipped' | 'waiting';
  /** It was started again since the look before. */
  grew: boolean;
  what: string;
}

function look(unit: WatchedUnit, state: UnitState | undefined, before: UnitState | undefined, seconds: number): Look {
  if (state === undefined) return { unit, found: 'waiting', grew: false, what: 'systemd does not answer' };
  const judged = judgeUnit(state);
  const grew = before !== undefined && state.restarts > before.restarts;
  const what = describeUnit(state);
  if (judged === 'idle') return { unit, found: seconds < GRACE ? 'waiting' : 'failed', grew, what };
  if (judged === 'gone') return { unit, found: unit.why === 'before' ? 'skipped' : 'failed', grew, what };
  return { unit, found: judged, grew, what };
}

/** What comes of the last look. `late`: there was no more time, else it was decided. */
function report({ unit, found, grew, what }: Look, seconds: number, late: boolean): CheckResult {
  const { name, required, why } = unit;
  const was = why === 'before' && found !== 'ok' ? `${what}; it ran before the switch` : what;
  const result = { name: `unit ${name}`, required, seconds, output: was };
  if (found === 'waiting') {
    // Wanted ones are not waited for: what they are now counts.
    if (late || !required) return { ...result, state: 'timed-out' };
    return { ...result, state: 'skipped', output: `${was}; ${NOT_WAITED_FOR}` };
  }
  return { ...result, state: found === 'ok' && grew ? 'failed' : found };
}

/** What one attempt at a server or an engine may take. */
const ATTEMPT = 15;

/** Tries something until it works, the time is up, or all is decided. */
async function persist(
  machine: CheckedMachine,
  name: string,
  time: Time,
  attempt: (seconds: number) => Promise<void>,
): Promise<CheckResult> {
  const start = machine.clock();
  for (;;) {
    try {
      await attempt(Math.max(1, Math.min(ATTEMPT, time.until - machine.clock())));
      return { name, required: true, state: 'ok', seconds: machine.clock() - start, output: '' };
    } catch (error) {
      if (time.decided) {
        return { name, required: true, state: 'skipped', seconds: machine.clock() - start, output: NOT_WAITED_FOR };
      }
      if (machine.clock() + INTERVAL > time.until) {
        time.decided = true;
        const output = `${error instanceof Error ? error.message : String(error)}; it answered before the switch`;
        return { name, required: true, state: 'failed', seconds: machine.clock() - start, output };
      }
    }
    await machine.sleep(INTERVAL);
  }
}

async function network(machine: CheckedMachine, plan: CheckPlan, time: Time): Promise<CheckResult[]> {
  const { config, baseline, repo } = plan;
  const remote = baseline?.server ?? null;
  // Without a URL it is no longer a remote here.
  if (!config.defaultChecks || remote === null || repo.remoteOption(remote, 'url') === undefined) return [];
  const check = (seconds: number) => machine.reach(repo, remote, seconds);
  return [await persist(machine, `update server of ${remote}`, time, check)];
}

async function engines(machine: CheckedMachine, plan: CheckPlan, time: Time): Promise<CheckResult[]> {
  const { config, baseline } = plan;
  if (!config.defaultChecks || baseline === null) return [];
  return await Promise.all(
    baseline.engines
      .filter((engine) => hasEngine(plan.root, engine))
      .map((engine) =>
        persist(machine, `container engine ${engine}`, time, async (seconds) => {
          if (!(await engineAnswers(machine, engine, seconds))) throw new Error('no answer');
        }),
      ),
  );
}
