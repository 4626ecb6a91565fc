import type { Checksum } from '@atomic/ostree';
import type { UpdatesConfig } from './config.ts';
import { offeredAt, placeOf } from './rollout.ts';
import type { Candidate, UpdatesState } from './state.ts';
import { type Interval, windowsAt } from './window.ts';

/** What boots next and does not run now. */
export interface PendingDeployment {
  checksum: Checksum;
  version: string | undefined;
  /** A newer commit of the branch the machine follows, or something somebody wanted: a rollback, a rebase. */
  kind: 'update' | 'other';
  /** Not to be switched to before somebody unlocks it. */
  locked: boolean;
}

/** What is so at the moment; gathered by `gatherFacts`. */
export interface UpdateFacts {
  /** The commit updates start from: what runs. */
  base: Checksum | null;
  /** The branch it follows. */
  follows: string | null;
  pending: PendingDeployment | null;
  /** Whether what runs is still being judged. */
  onTrial: boolean;
  /** Commits that failed here, and why. */
  bad: ReadonlyMap<Checksum, string>;
  /** Who is logged in, such as `ann on tty1`. */
  people: readonly string[];
  /** Who holds off shutdowns, and why. */
  inhibitors: readonly string[];
  /** Why neither is known. */
  unknown: string | null;
  online: boolean;
  metered: boolean;
  /** Whether a shutdown is announced. */
  shutdownPlanned: boolean;
  /** This boot's ID. */
  boot: string;
  machineId: string;
}

export type ReasonCode =
  | 'policy'
  | 'hold'
  | 'no-branch'
  | 'trial'
  | 'due'
  | 'not-due'
  | 'offline'
  | 'trouble'
  | 'up-to-date'
  | 'available'
  | 'end-of-life'
  | 'bad'
  | 'left'
  | 'paused'
  | 'rollout'
  | 'barrier'
  | 'metered'
  | 'window'
  | 'pending'
  | 'locked'
  | 'not-taken'
  | 'staged'
  | 'people'
  | 'inhibitor'
  | 'unknown'
  | 'max-wait'
  | 'scheduled'
  | 'called-off';

/** Why something happens or does not. */
export interface Reason {
  code: ReasonCode;
  text: string;
  /** When it ceases to count by itself (Unix seconds). */
  until: number | null;
}

interface Because {
  because: Reason[];
  /** When something else may happen (Unix seconds); null: not by itself. */
  next: number | null;
}

/** What to do now. */
export type Decision =
  | (Because & {
      now: 'wait';
      /** People are to be told that a reboot waits for them, `by` then at the latest. */
      announce: { checksum: Checksum; by: number | null } | null;
    })
  | (Because & { now: 'check' })
  | (Because & { now: 'stage'; commit: Candidate })
  | (Because & {
      now: 'reboot';
      checksum: Checksum;
      version: string | undefined;
      /** Seconds of warning. */
      warning: number;
      /** Whether what holds off shutdowns is overruled. */
      force: boolean;
    });

const FIRST_RETRY = 300;
/** A reboot that somebody called off is not asked for again for a day. */
const CALLED_OFF = 86_400;
/** So often the machine reboots into a commit that then does not come up. */
const MOST_ATTEMPTS = 3;
/** Clocks may be a little off; more, and a time in the future is one of a clock that was wrong. */
const SLACK = 300;

const reason = (code: ReasonCode, text: string, until: number | null = null): Reason => ({ code, text, until });

/** A commit for people. */
export const nameOf = (commit: { checksum: string; version?: string | null | undefined }): string =>
  commit.version === null || commit.version === undefined
    ? commit.checksum.slice(0, 10)
    : `${commit.version} (${commit.checksum.slice(0, 10)})`;

/** What is to happen now (`now` in Unix seconds), and why; the same answer whoever asks. */
export function plan(config: UpdatesConfig, now: number, state: UpdatesState, facts: UpdateFacts): Decision {
  const wait = (because: Reason[], ...times: (number | null)[]): Extract<Decision, { now: 'wait' }> => {
    const later = [...because.map(({ until }) => until), ...times].flatMap((time) =>
      time !== null && time > now ? [time] : [],
    );
    return { now: 'wait', because, next: later.length === 0 ? null : Math.min(...later), announce: null };
  };
  if (config.policy === 'none') return wait([reason('policy', 'automatic updates are off (policy none)')]);
  const { hold } = state;
  if (hold !== null && (hold.until === null || hold.until > now)) {
    return wait([reason('hold', `updates are held: ${hold.why}`, hold.until)]);
  }
  if (facts.follows === null || facts.base === null) {
    return wait([reason('no-branch', 'what runs follows no branch of a server')]);
  }
  if (facts.onTrial) return wait([reason('trial', 'this boot has not been found good yet')]);

  const due = checkTime(config, now, state, facts);
  const notes: Reason[] = [];
  if (due.at <= now) {
    if (facts.online) return { now: 'check', because: [due.why], next: null };
    notes.push(reason('offline', 'the network is down'));
  } else if (due.why.code === 'trouble') notes.push(due.why);
  const nextCheck = due.at > now ? due.at : null;

  const { take, because } = chooseUpdate(config, now, state, facts);
  notes.push(...because);
  if (state.endOfLife !== null) notes.push(reason('end-of-life', `the branch has ended: ${state.endOfLife}`));
  if (config.policy === 'check') {
    notes.push(reason('policy', 'updates are only looked for (policy check)'));
    return wait(notes, nextCheck);
  }
  const { pending } = facts;
  if (pending?.kind === 'other') {
    const text = `${nameOf(pending)} boots next, by somebody's choice: no update takes its place by itself`;
    return wait([...notes, reason('pending', text)], nextCheck);
  }
  const windows = windowsAt(config.windows, now * 1000);
  if (take !== null && isNewer(take, pending, state)) {
    const blocked = stageBlocked(config, now, state, facts, take, windows);
    if (blocked === null) return { now: 'stage', commit: take, because: notes, next: nextCheck };
    notes.push(blocked);
  }
  if (pending === null) return wait(notes, nextCheck);
  if (config.policy === 'stage') {
    notes.push(reason('staged', `${nameOf(pending)} boots when somebody reboots (policy stage)`));
    return wait(notes, nextCheck);
  }
  const reboot = planReboot(config, now, state, facts, pending, windows);
  if (reboot.now === 'reboot') return { ...reboot, because: [...notes, ...reboot.because] };
  return { ...wait([...notes, ...reboot.because], nextCheck), announce: reboot.announce };
}

/** When to look at the server again, spread over hosts and time. */
function checkTime(
  config: UpdatesConfig,
  now: number,
  state: UpdatesState,
  facts: UpdateFacts,
): { at: number; why: Reason } {
  const { trouble } = state;
  const spread = (about: string) => placeOf(facts.machineId, about);
  if (trouble !== null && trouble.doing === 'check' && trouble.at <= now + SLACK) {
    const at = retryTime(config, trouble, spread(`retry ${trouble.at}`));
    const text = `looking at the server failed ${trouble.times === 1 ? '' : `${trouble.times} times `}(${trouble.error})`;
    return { at, why: reason('trouble', text, at) };
  }
  const { checked } = state;
  if (checked === null || checked > now + SLACK) return { at: 0, why: reason('due', 'the server was never looked at') };
  if (state.base !== facts.base) return { at: 0, why: reason('due', 'another version runs since the last look') };
  const at = Math.ceil(checked + config.interval * (0.95 + 0.1 * spread(`check ${checked}`)));
  return { at, why: at <= now ? reason('due', 'it is time to look at the server') : reason('not-due', '', at) };
}

/** Failures are tried again after five minutes, then twice as long each time, up to the interval. */
function retryTime(config: UpdatesConfig, trouble: { times: number; at: number }, spread: number): number {
  const pause = Math.min(config.interval, FIRST_RETRY * 2 ** Math.min(trouble.times - 1, 20));
  return Math.ceil(trouble.at + pause * (1 + 0.25 * spread));
}

/** What of the branch may be taken now: the newest commit that is offered to this host, up to the first barrier. */
export function chooseUpdate(
  config: UpdatesConfig,
  now: number,
  state: UpdatesState,
  facts: UpdateFacts,
): { take: Candidate | null; because: Reason[] } {
  const candidates = newerThanBase(state, facts.base);
  if (candidates.length === 0) {
    return { take: null, because: [reason('up-to-date', 'nothing newer is known')] };
  }
  const because: Reason[] = [];
  const barrier = candidates.findLastIndex((candidate) => candidate.barrier);
  const allowed = candidates.slice(Math.max(barrier, 0));
  const [newest] = candidates;
  const [first] = allowed;
  if (first !== undefined && newest !== first) {
    because.push(reason('barrier', `${nameOf(first)} has to run before anything newer`));
  }
  for (const candidate of allowed) {
    const name = nameOf(candidate);
    const bad = facts.bad.get(candidate.checksum);
    const offered = offeredAt(candidate.rollout, candidate.timestamp, config.wariness ?? candidate.place);
    if (bad !== undefined) because.push(reason('bad', `${name} failed here: ${bad}`));
    else if (state.left.includes(candidate.checksum)) {
      because.push(reason('left', `somebody went back from ${name}`));
    } else if (offered === null) because.push(reason('paused', `the roll-out of ${name} is paused`));
    else if (offered > now) because.push(reason('rollout', `${name} is offered to this host later`, offered));
    else {
      because.push(reason('available', `${name} is newer than what runs`));
      return { take: candidate, because };
    }
  }
  return { take: null, because };
}

/** The candidates that are newer than what runs now; what runs may be one of them by now. */
export function newerThanBase(state: UpdatesState, base: Checksum | null): Candidate[] {
  const at = state.candidates.findIndex(({ checksum }) => checksum === base);
  if (at >= 0) return state.candidates.slice(0, at);
  return state.base === base ? state.candidates : [];
}

/** Whether a commit is to take the place of what boots next. */
function isNewer(take: Candidate, pending: PendingDeployment | null, state: UpdatesState): boolean {
  if (pending === null) return true;
  const order = state.candidates.map(({ checksum }) => checksum);
  const at = order.indexOf(pending.checksum);
  return at < 0 ? false : order.indexOf(take.checksum) < at;
}

/** Why a commit cannot be fetched and staged yet, or null. */
function stageBlocked(
  config: UpdatesConfig,
  now: number,
  state: UpdatesState,
  facts: UpdateFacts,
  take: Candidate,
  windows: ReturnType<typeof windowsAt>,
): Reason | null {
  const { trouble } = state;
  if (trouble !== null && trouble.doing === 'stage' && trouble.at <= now + SLACK) {
    const at = retryTime(config, trouble, placeOf(facts.machineId, `retry ${trouble.at}`));
    if (at > now) return reason('trouble', `fetching ${nameOf(take)} failed (${trouble.error})`, at);
  }
  if (!facts.online) return reason('offline', 'the network is down');
  if (facts.metered && !config.metered) return reason('metered', 'the connection costs by volume (Metered=no)');
  if (config.fetchInWindow && config.windows.length > 0 && windows.open.length === 0) {
    return reason('window', 'downloads wait for a window', seconds(windows.next?.open));
  }
  return null;
}

const seconds = (ms: number | undefined): number | null => (ms === undefined ? null : Math.ceil(ms / 1000));

type RebootPlan =
  | Extract<Decision, { now: 'reboot' }>
  | { now: 'wait'; because: Reason[]; announce: { checksum: Checksum; by: number | null } | null };

/** Whether the machine may reboot now into what boots next. */
function planReboot(
  config: UpdatesConfig,
  now: number,
  state: UpdatesState,
  facts: UpdateFacts,
  pending: PendingDeployment,
  windows: { open: Interval[]; next: Interval | null },
): RebootPlan {
  const { checksum, version } = pending;
  const wait = (...because: Reason[]): RebootPlan => ({ now: 'wait', because, announce: null });
  const bad = facts.bad.get(checksum);
  if (bad !== undefined) return wait(reason('bad', `${nameOf(pending)} failed here: ${bad}`));
  if (pending.locked) return wait(reason('locked', `${nameOf(pending)} is staged, but locked`));
  if (state.attempts !== null && state.attempts.checksum === checksum && state.attempts.times >= MOST_ATTEMPTS) {
    const text = `${state.attempts.times} reboots did not bring ${nameOf(pending)} up: somebody has to look`;
    return wait(reason('not-taken', text));
  }
  const { scheduled } = state;
  if (scheduled !== null && scheduled.boot === facts.boot && scheduled.checksum === checksum) {
    if (facts.shutdownPlanned) return wait(reason('scheduled', 'the reboot is announced', scheduled.at));
    const again = scheduled.at + CALLED_OFF;
    if (again > now) return wait(reason('called-off', 'somebody called the announced reboot off', again));
  }
  if (facts.shutdownPlanned) {
    return wait(reason('scheduled', `somebody planned a shutdown: ${nameOf(pending)} comes up after it`));
  }
  if (config.windows.length > 0 && windows.open.length === 0) {
    return wait(reason('window', `the reboot into ${nameOf(pending)} waits for a window`, seconds(windows.next?.open)));
  }
  const warning = facts.people.length > 0 || facts.unknown !== null ? config.grace : 0;
  const blockers = [
    ...facts.people.map((who) => reason('people', `${who} is logged in`)),
    ...facts.inhibitors.map((who) => reason('inhibitor', `held off by ${who}`)),
    ...(facts.unknown === null ? [] : [reason('unknown', `who is logged in is not known (${facts.unknown})`)]),
  ];
  const into = reason('staged', `${nameOf(pending)} is ready`);
  if (blockers.length === 0) {
    return { now: 'reboot', checksum, version, warning, force: false, because: [into], next: null };
  }
  const known = state.blocked?.checksum === checksum && state.blocked.since <= now + SLACK ? state.blocked : null;
  const by = config.maxWait === null ? null : (known?.since ?? now) + config.maxWait;
  const close = Math.max(...windows.open.map((interval) => interval.close), 0) / 1000;
  const fits = config.windows.length === 0 || now + warning <= close;
  if (by !== null && now >= by - warning) {
    if (!fits) return wait(reason('window', 'the window closes too soon for a warning', seconds(windows.next?.open)));
    const waited = reason('max-wait', 'people and inhibitors have put it off as long as they may');
    return { now: 'reboot', checksum, version, warning, force: true, because: [into, waited, ...blockers], next: null };
  }
  const because = blockers.map((one) => ({ ...one, until: by === null ? null : by - warning }));
  return { now: 'wait', because: [into, ...because], announce: known === null ? { checksum, by } : null };
}
