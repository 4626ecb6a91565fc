import { AtomicError } from '@atomic/ostree';
import type { SysrootState } from '../deployment.ts';
import { formatDuration } from '../duration.ts';
import { stuckLine } from '../layers/stuck.ts';
import { originFollows } from '../origin.ts';
import type { Sysroot } from '../sysroot.ts';
import { loadPolicy, loadUpdatesConfig, type Policy } from './config.ts';
import { runningDeployment, settingsRoot, timerProblem, UPDATE_TIMER } from './facts.ts';
import { nameOf, newerThanBase } from './plan.ts';
import { offeredAt } from './rollout.ts';
import type { UpdatesView } from './run.ts';
import { loadUpdatesState } from './state.ts';
import { formatWindow, windowsAt } from './window.ts';

/** When the machine will reboot by itself, as far as can be told; times are Unix seconds. */
export type Forecast =
  | { reboots: false; why: string }
  | {
      reboots: true;
      into: { checksum: string; version: string | null };
      earliest: number;
      /** When it no longer waits for people and inhibitors; null: it waits for ever. */
      latest: number | null;
    };

/** What will reboot this machine, and when. */
export function forecast(view: UpdatesView): Forecast {
  const { config, state, now, decision } = view;
  const never = (why: string): Forecast => ({ reboots: false, why });
  if (view.timer !== null) return never(view.timer);
  if (config.policy !== 'apply') return never(`policy ${config.policy}`);
  const { hold } = state;
  const held = hold !== null && (hold.until === null || hold.until > now);
  if (held && hold.until === null) return never(`updates are held: ${hold.why}`);
  const stop = decision.because.find(({ code }) => ['pending', 'locked', 'not-taken', 'no-branch'].includes(code));
  if (stop !== undefined) return never(stop.text);
  let earliest = held ? (hold.until ?? now) : now;
  const target = rebootTarget(view);
  if (target === null)
    return never(decision.because.find(({ code }) => code === 'bad')?.text ?? 'nothing newer is known');
  earliest = Math.max(earliest, target.from);
  const calledOff = decision.because.find(({ code }) => code === 'called-off' || code === 'scheduled')?.until;
  if (typeof calledOff === 'number') earliest = Math.max(earliest, calledOff);
  const inWindow = (time: number): number => {
    if (config.windows.length === 0) return time;
    const { open, next } = windowsAt(config.windows, time * 1000);
    return open.length > 0 || next === null ? time : Math.ceil(next.open / 1000);
  };
  earliest = inWindow(earliest);
  const waiting = state.blocked?.checksum === target.checksum ? state.blocked.since : earliest;
  const latest = config.maxWait === null ? null : Math.max(earliest, inWindow(waiting + config.maxWait));
  return { reboots: true, into: { checksum: target.checksum, version: target.version }, earliest, latest };
}

/** What the next reboot would bring up, and when that may be had. */
function rebootTarget({ config, state, facts, now }: UpdatesView) {
  const { pending, bad } = facts;
  if (pending?.kind === 'update' && !bad.has(pending.checksum)) {
    return { checksum: pending.checksum, version: pending.version ?? null, from: now };
  }
  const candidates = newerThanBase(state, facts.base);
  const barrier = candidates.findLastIndex((one) => one.barrier);
  const offers = candidates.slice(Math.max(barrier, 0)).flatMap((one) => {
    if (bad.has(one.checksum) || state.left.includes(one.checksum)) return [];
    const offered = offeredAt(one.rollout, one.timestamp, config.wariness ?? one.place);
    return offered === null ? [] : [{ checksum: one.checksum, version: one.version, from: Math.max(offered, now) }];
  });
  // Of those to be had at once the newest, else whichever comes first.
  return offers.toSorted((a, b) => a.from - b.from)[0] ?? null;
}

/** What `atomic host updates` prints: what will happen, when, and why. */
export function updatesLines(view: UpdatesView): string[] {
  const { config, state, facts, now, decision } = view;
  const at = (time: number): string => {
    const away = formatDuration(time - now);
    return `${config.zone.format(time * 1000)} (${time >= now ? `in ${away}` : `${away} ago`})`;
  };
  const lines: string[] = [];
  const put = (key: string, value: string) => lines.push(`${(key === '' ? '' : `${key}:`).padEnd(12)}${value}`);
  put('Policy', config.policy);
  const coming = forecast(view);
  if (coming.reboots) {
    const { into, earliest, latest } = coming;
    put(
      'Reboot',
      `into ${nameOf(into)}, ${earliest <= now ? 'as soon as nothing holds it off' : `not before ${at(earliest)}`}`,
    );
    const end =
      latest === null ? 'it waits for people and inhibitors for as long as they like' : `at the latest ${at(latest)}`;
    if (latest !== earliest) put('', end);
  } else put('Reboot', `not by itself: ${coming.why}`);
  const doing = {
    wait: 'waiting',
    check: 'looks at the server at the next run',
    stage: 'fetches and stages at the next run',
    reboot: 'reboots at the next run',
  };
  put('Now', doing[decision.now]);
  for (const { text, until } of decision.because.filter((one) => one.text !== '')) {
    put('', `- ${text}${until === null ? '' : `; until ${at(until)}`}`);
  }
  if (view.stuck !== null) {
    put('Layers', stuckLine(view.stuck));
    for (const command of view.stuck.drop) put('', `to go on without: ${command}`);
  }
  if (decision.next !== null) put('Next', at(decision.next));
  put('Last check', state.succeeded === null ? 'none succeeded yet' : `${at(state.succeeded)}`);
  for (const candidate of newerThanBase(state, facts.base)) {
    const offered = offeredAt(candidate.rollout, candidate.timestamp, config.wariness ?? candidate.place);
    const mark = facts.pending?.checksum === candidate.checksum ? ', boots next' : '';
    const share = `place ${(config.wariness ?? candidate.place).toFixed(2)}`;
    const offer = offered === null ? 'paused' : offered <= now ? 'offered' : `offered ${at(offered)}, ${share}`;
    put('Newer', `${nameOf(candidate)}, ${offer}${candidate.barrier ? ', a barrier' : ''}${mark}`);
  }
  for (const window of config.windows) {
    const { open, next } = windowsAt([window], now * 1000);
    const [current] = open;
    const when =
      current !== undefined
        ? `open until ${at(Math.ceil(current.close / 1000))}`
        : next === null
          ? 'never open'
          : `opens ${at(Math.ceil(next.open / 1000))}`;
    put('Window', `${window.name}: ${formatWindow(window)}; ${when}`);
  }
  if (view.timer !== null) put('Warning', `nothing of this happens by itself: ${view.timer}`);
  for (const warning of config.warnings) put('Warning', warning);
  return lines;
}

/** What `atomic host updates --json` prints. Times are Unix seconds. */
export function updatesJson(view: UpdatesView): unknown {
  const { config, state, facts, now, decision } = view;
  const windows = config.windows.map((window) => {
    const { open, next } = windowsAt([window], now * 1000);
    const times = open[0] ?? next;
    return {
      name: window.name,
      rule: formatWindow(window),
      open: open.length > 0,
      opens: times === null || times === undefined ? null : Math.ceil(times.open / 1000),
      closes: times === null || times === undefined ? null : Math.ceil(times.close / 1000),
    };
  });
  const candidates = newerThanBase(state, facts.base).map(({ rollout, place, ...commit }) => ({
    ...commit,
    place: config.wariness ?? place,
    offered: offeredAt(rollout, commit.timestamp, config.wariness ?? place),
  }));
  const { bad, boot: _boot, machineId: _machineId, ...rest } = facts;
  return {
    osname: view.os,
    now,
    policy: config.policy,
    decision,
    reboot: forecast(view),
    'last-check': state.checked,
    'last-successful-check': state.succeeded,
    trouble: state.trouble,
    'newer-commits': candidates,
    'end-of-life': state.endOfLife,
    'layers-stuck': view.stuck,
    windows,
    hold: state.hold,
    facts: { ...rest, bad: Object.fromEntries(bad) },
    settings: Object.fromEntries(config.sources),
    timer: view.timer,
    warnings: config.warnings,
  };
}

/** The line of `rpm-ostree status`; null where updates are off. */
export function automaticUpdatesLine(
  sysroot: Sysroot,
  os: string,
  now: number = Math.floor(Date.now() / 1000),
  deployments: SysrootState = sysroot.load(),
): string | null {
  const root = settingsRoot(sysroot, deployments, os);
  // A policy that nothing carries out is none.
  if (timerProblem(root) !== null) return null;
  let policy: Policy;
  try {
    policy = loadPolicy(root);
  } catch (error) {
    if (error instanceof AtomicError) return `AutomaticUpdates: ${UPDATE_TIMER}: ${error.message}`;
    throw error;
  }
  if (policy === 'none') return null;
  const { checked, trouble } = loadUpdatesState(sysroot, os);
  if (checked === null) return `AutomaticUpdates: ${policy}; ${UPDATE_TIMER}: no runs yet`;
  const ago = formatDuration(now - checked);
  return `AutomaticUpdates: ${policy}; ${UPDATE_TIMER}: last run ${ago} ago${trouble === null ? '' : ' failed'}`;
}

/** So many failures in a row are no hiccup. */
const MANY = 3;

/**
 * The age of the last successful look at the server as a health item; null where nothing looks. Never looked counts as
 * well until three looks in a row have failed; so does an update that cannot be staged, until then.
 */
export function lastCheckHealth(
  sysroot: Sysroot,
  os: string,
  now: number = Math.floor(Date.now() / 1000),
): { name: 'updates'; state: 'ok' | 'failed'; message: string } | null {
  const deployments = sysroot.load();
  const item = (state: 'ok' | 'failed', message: string) => ({ name: 'updates' as const, state, message });
  let config: ReturnType<typeof loadUpdatesConfig>;
  const root = settingsRoot(sysroot, deployments, os);
  if (timerProblem(root) !== null) return null;
  try {
    config = loadUpdatesConfig(root);
  } catch (error) {
    if (error instanceof AtomicError) return item('failed', error.message);
    throw error;
  }
  const follows = originFollows(runningDeployment(deployments, os)?.origin ?? null);
  if (config.policy === 'none' || follows === undefined) return null;
  const { succeeded, trouble, hold } = loadUpdatesState(sysroot, os);
  const last =
    succeeded === null
      ? 'no successful look at the server yet'
      : `last looked at the server ${formatDuration(now - succeeded)} ago`;
  if (hold !== null && (hold.until === null || hold.until > now)) return item('ok', `${last}; held: ${hold.why}`);
  if (trouble !== null && trouble.doing === 'stage' && trouble.times >= MANY) {
    return item('failed', `an update could not be fetched and staged ${trouble.times} times: ${trouble.error}`);
  }
  const failing = trouble !== null && trouble.doing === 'check';
  const why = failing ? `${last}: ${trouble.error}` : last;
  const stale = succeeded === null ? failing && trouble.times >= MANY : now - succeeded > config.staleAfter;
  return item(stale ? 'failed' : 'ok', why);
}
