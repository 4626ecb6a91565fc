import { AtomicError, type BeginOptions, type ConnectOptions, type Progress, type TrustOptions } from '@atomic/ostree';
import { readTrial } from '../bootloader/trial.ts';
import { noteAvailableUpdate } from '../change/available-update.ts';
import { type ChangeOptions, chooseOs } from '../change/change.ts';
import { upgrade } from '../change/upgrade.ts';
import type { SysrootState } from '../deployment.ts';
import { loadBadCommits } from '../health/bad-commits.ts';
import { parseImageOrigin } from '../image/image-origin.ts';
import { type LayersStuck, layersStuck } from '../layers/stuck.ts';
import { packageChanges } from '../status/package-changes.ts';
import type { Sysroot } from '../sysroot.ts';
import { type Announcer, announcer } from './announce.ts';
import { loadUpdatesConfig, type UpdatesConfig, writeUpdatesConfig } from './config.ts';
import { gatherFacts, leftDeployments, type Surroundings, settingsRoot, timerProblem } from './facts.ts';
import { lookAtBranch } from './look.ts';
import { lookAtImage } from './look-image.ts';
import { type Decision, nameOf, plan, type UpdateFacts } from './plan.ts';
import { type Candidate, changeUpdatesState, loadUpdatesState, MOST_COMMITS, type UpdatesState } from './state.ts';

export interface UpdatesOptions extends BeginOptions {
  os?: string | undefined;
  trust?: TrustOptions | undefined;
  connect?: ConnectOptions | undefined;
  progress?: Progress | undefined;
  /** Who puts onto an update what is layered here. */
  layers?: ChangeOptions['layers'];
  /** Who brings images where a container image is followed. */
  images?: ChangeOptions['images'];
  announcer?: Announcer | undefined;
  around?: Surroundings | undefined;
  /** Unix seconds, for tests. */
  clock?: (() => number) | undefined;
}

/** All there is to know about automatic updates at one moment. */
export interface UpdatesView {
  os: string;
  now: number;
  config: UpdatesConfig;
  state: UpdatesState;
  facts: UpdateFacts;
  /** What keeps updates back: packages layered here do not go onto them. */
  stuck: LayersStuck | null;
  /** Why nothing starts this by itself; null: the timer does. */
  timer: string | null;
  decision: Decision;
}

/** One thing that was done. */
export interface Step {
  did: 'check' | 'stage' | 'announce' | 'reboot';
  text: string;
  error?: string | undefined;
}

export interface UpdatesRun extends UpdatesView {
  steps: Step[];
}

const unixNow = () => Math.floor(Date.now() / 1000);

/** What counts now: settings, memory and facts, without a decision. */
export async function survey(
  sysroot: Sysroot,
  options: UpdatesOptions,
): Promise<Omit<UpdatesView, 'decision'> & { deployments: SysrootState }> {
  const deployments = sysroot.load();
  const os = chooseOs(deployments, options.os);
  const bad = new Map([...loadBadCommits(sysroot, os)].map(([checksum, { reason }]) => [checksum, reason]));
  const onTrial = readTrial(sysroot, deployments) !== null;
  const root = settingsRoot(sysroot, deployments, os);
  return {
    os,
    now: (options.clock ?? unixNow)(),
    config: loadUpdatesConfig(root),
    timer: timerProblem(root),
    stuck: layersStuck(sysroot, os, deployments),
    state: loadUpdatesState(sysroot, os),
    facts: await gatherFacts(sysroot, deployments, os, bad, onTrial, options.around),
    deployments,
  };
}

/** What would happen by itself now, and why. Changes nothing. Throws `invalid` for settings that make no sense. */
export async function viewUpdates(sysroot: Sysroot, options: UpdatesOptions = {}): Promise<UpdatesView> {
  const { deployments, ...view } = await survey(sysroot, options);
  const state = remember(view.state, deployments, view.os, view.facts);
  return { ...view, state, decision: plan(view.config, view.now, state, view.facts) };
}

/** Takes down what the deployments tell: what somebody went back from, what has come up, whom nothing waits for. */
export function remember(state: UpdatesState, deployments: SysrootState, os: string, facts: UpdateFacts): UpdatesState {
  // What runs by now may be left again.
  const pardoned = state.pardoned.filter((checksum) => checksum !== facts.base);
  const left = [...new Set([...state.left, ...leftDeployments(deployments, os)])]
    .filter((checksum) => checksum !== facts.base && !pardoned.includes(checksum))
    .slice(-MOST_COMMITS);
  const pending = facts.pending?.checksum;
  return {
    ...state,
    left,
    pardoned,
    blocked: state.blocked?.checksum === pending ? state.blocked : null,
    attempts: state.attempts?.checksum === facts.base ? null : state.attempts,
    scheduled: state.scheduled?.boot === facts.boot && state.scheduled.checksum === pending ? state.scheduled : null,
  };
}

/**
 * Does what is due, step after step, until something is to be waited for. A look or a download that fails is taken down
 * and tried again later; all else throws: `locked` with `wait: false` while another command changes deployments,
 * `invalid` for settings that make no sense.
 */
export async function runUpdates(sysroot: Sysroot, options: UpdatesOptions = {}): Promise<UpdatesRun> {
  return await run(sysroot, options, (view) => view);
}

/**
 * The same at once, as an administrator asks for it: no waiting for the next look, a place in a roll-out, a window, an
 * unmetered connection or the end of a hold. Commits that failed here are not taken, barriers count, and nothing reboots.
 */
export async function updateNow(sysroot: Sysroot, options: UpdatesOptions = {}): Promise<UpdatesRun> {
  let looked = false;
  return await run(sysroot, options, (view) => {
    const { state, config, facts } = view;
    const checked = looked ? state.checked : null;
    looked = true;
    const candidates = state.candidates.map((one) => ({ ...one, rollout: { start: 0, paused: false, curve: [] } }));
    return {
      ...view,
      config: { ...config, policy: 'stage', fetchInWindow: false },
      state: { ...state, hold: null, trouble: null, left: [], checked, candidates },
      facts: { ...facts, metered: false, online: true, onTrial: false },
    };
  });
}

type Survey = Omit<UpdatesView, 'decision'>;

async function run(sysroot: Sysroot, options: UpdatesOptions, adjust: (view: Survey) => Survey): Promise<UpdatesRun> {
  using _lock = await sysroot.lock(options);
  const steps: Step[] = [];
  // A look, a download and a reboot; each changes what is to be decided next.
  for (;;) {
    const { deployments, ...found } = await survey(sysroot, options);
    const { os, facts } = found;
    const state = await changeUpdatesState(sysroot, os, (before) => remember(before, deployments, os, facts));
    const view = adjust({ ...found, state });
    const decision = plan(view.config, view.now, view.state, view.facts);
    if (decision.now === 'check' && !steps.some(({ did }) => did === 'check')) {
      steps.push(await check(sysroot, view, options));
    } else if (decision.now === 'stage' && !steps.some(({ did }) => did === 'stage')) {
      steps.push(await stage(sysroot, view, decision.commit, options));
    } else if (decision.now === 'reboot') {
      steps.push(await reboot(sysroot, view, decision, options));
      return { ...view, decision, steps };
    } else {
      if (decision.now === 'wait' && decision.announce !== null) {
        steps.push(await announce(sysroot, view, decision.announce, options));
      }
      return { ...view, decision, steps };
    }
  }
}

/** What went wrong, for the record; an interruption or a lock is no failure of the server's. */
function failure(error: unknown): AtomicError {
  if (error instanceof AtomicError && error.code !== 'aborted' && error.code !== 'locked') return error;
  throw error;
}

async function noteTrouble(
  sysroot: Sysroot,
  { os, now }: Survey,
  doing: 'check' | 'stage',
  error: unknown,
): Promise<string> {
  const { message } = failure(error);
  await changeUpdatesState(sysroot, os, (state) => {
    const times = state.trouble?.doing === doing ? state.trouble.times + 1 : 1;
    const checked = doing === 'check' ? now : state.checked;
    return { ...state, checked, trouble: { doing, times, at: now, error: message } };
  });
  return message;
}

async function check(sysroot: Sysroot, view: Survey, options: UpdatesOptions): Promise<Step> {
  const { os, now, facts } = view;
  const { follows, base, machineId } = facts;
  if (follows === null || base === null) throw new AtomicError('invalid', 'there is no branch to look at');
  try {
    const image = parseImageOrigin(follows);
    const look =
      image === null
        ? await lookAtBranch(sysroot, follows, base, machineId, options)
        : await lookAtImage(sysroot, image, base, { ...options, metered: facts.metered });
    await changeUpdatesState(sysroot, os, (state) => ({
      ...state,
      checked: now,
      succeeded: now,
      trouble: state.trouble?.doing === 'check' ? null : state.trouble,
      base,
      candidates: look.candidates,
      endOfLife: look.endOfLife,
    }));
    const [newest] = look.candidates;
    noteAvailableUpdate(
      sysroot,
      os,
      newest === undefined
        ? null
        : {
            checksum: newest.checksum,
            version: newest.version ?? undefined,
            timestamp: newest.timestamp,
            origin: follows,
            from: base,
            checked: now,
            packages: await packageChanges(
              sysroot,
              { checksum: base, base },
              { checksum: newest.checksum, base: newest.checksum },
            ),
          },
    );
    const text = newest === undefined ? `nothing new on ${follows}` : `${follows} has ${nameOf(newest)}`;
    return { did: 'check', text: [text, ...look.warnings].join('; ') };
  } catch (error) {
    return { did: 'check', text: `looking at ${follows}`, error: await noteTrouble(sysroot, view, 'check', error) };
  }
}

async function stage(sysroot: Sysroot, view: Survey, commit: Candidate, options: UpdatesOptions): Promise<Step> {
  const text = `fetched and staged ${nameOf(commit)}`;
  try {
    await upgrade(sysroot, { ...options, os: view.os, commit: commit.checksum });
  } catch (error) {
    return { did: 'stage', text, error: await noteTrouble(sysroot, view, 'stage', error) };
  }
  await changeUpdatesState(sysroot, view.os, (state) => ({
    ...state,
    trouble: state.trouble?.doing === 'stage' ? null : state.trouble,
  }));
  return { did: 'stage', text };
}

async function announce(
  sysroot: Sysroot,
  { os, now, config, facts }: Survey,
  { checksum, by }: { checksum: string; by: number | null },
  options: UpdatesOptions,
): Promise<Step> {
  const latest = by === null ? '' : ` At ${config.zone.format(by * 1000)} it will not wait any longer.`;
  const message = `This machine reboots into an update as soon as nobody is logged in and nothing holds it off.${latest}
To put it off: atomic host updates hold. To see why: atomic host updates.`;
  await changeUpdatesState(sysroot, os, (state) => ({ ...state, blocked: { checksum, since: now } }));
  if (facts.people.length > 0) await (options.announcer ?? announcer).tell(message);
  return { did: 'announce', text: 'a reboot waits for people or inhibitors' };
}

async function reboot(
  sysroot: Sysroot,
  { os, now, facts }: Survey,
  decision: Extract<Decision, { now: 'reboot' }>,
  options: UpdatesOptions,
): Promise<Step> {
  const { checksum, warning, force } = decision;
  // shutdown(8) counts in minutes.
  const minutes = Math.ceil(warning / 60);
  const name = nameOf(decision);
  // Taken down first: a machine that goes down in the next moment must not count as one that was asked to stay.
  await changeUpdatesState(sysroot, os, (state) => ({
    ...state,
    scheduled: { checksum, at: now + minutes * 60, boot: facts.boot },
    attempts: { checksum, times: (state.attempts?.checksum === checksum ? state.attempts.times : 0) + 1 },
  }));
  const message = `Rebooting into the update ${name}. To call it off: shutdown -c, then atomic host updates hold.`;
  try {
    await (options.announcer ?? announcer).reboot({ minutes, message, force });
  } catch (error) {
    await changeUpdatesState(sysroot, os, (state) => ({ ...state, scheduled: null }));
    throw error;
  }
  return { did: 'reboot', text: minutes === 0 ? `rebooting into ${name}` : `rebooting into ${name} in ${minutes} min` };
}

/** Stops all automatic updating until a time (Unix seconds), or until it is released; calls an announced reboot off. */
export async function holdUpdates(
  sysroot: Sysroot,
  hold: { until: number | null; why: string },
  options: UpdatesOptions = {},
): Promise<UpdatesState> {
  const { os, facts, state } = await survey(sysroot, options);
  const ours = state.scheduled !== null && state.scheduled.boot === facts.boot;
  const held = await changeUpdatesState(sysroot, os, (before) => ({ ...before, hold, scheduled: null }));
  if (ours && facts.shutdownPlanned) await (options.announcer ?? announcer).callOff();
  return held;
}

/** Ends a hold. */
export async function releaseUpdates(sysroot: Sysroot, options: UpdatesOptions = {}): Promise<UpdatesState> {
  const os = chooseOs(sysroot.load(), options.os);
  return await changeUpdatesState(sysroot, os, (before) => ({ ...before, hold: null }));
}

/**
 * Changes settings of a system by `policy=apply`, `window.night=…` and the like, in the administrator's own file. Throws
 * as {@link writeUpdatesConfig} does.
 */
export function setUpdates(
  sysroot: Sysroot,
  assignments: readonly string[],
  options: { os?: string | undefined } = {},
): { path: string; config: UpdatesConfig } {
  const state = sysroot.load();
  return writeUpdatesConfig(settingsRoot(sysroot, state, chooseOs(state, options.os)), assignments);
}
