import { AtomicError } from '@atomic/ostree';
import { formatDuration, parseDuration } from '../duration.ts';
import { addDays, dateStart, TimeZone, weekday } from './zone.ts';

const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];
const WEEK_SECONDS = 7 * 86_400;
/** The timer comes by every quarter of an hour or so: a shorter window could pass unseen. */
const MIN_SECONDS = 30 * 60;

/** A time in which the machine may reboot by itself. */
export interface Window {
  name: string;
  /** Days it opens on: 0 for Monday to 6 for Sunday. */
  days: ReadonlySet<number>;
  /** Seconds after midnight that a clock of the zone shows when it opens. */
  start: number;
  /** Seconds it stays open, as they pass. */
  length: number;
  zone: TimeZone;
}

/** A time from `open` to before `close` (Unix ms). */
export interface Interval {
  open: number;
  close: number;
}

/**
 * Reads `[DAYS] START LENGTH [ZONE]`, such as `mon..fri,sun 02:00 3h Europe/Berlin`. Throws `invalid`, naming `name`.
 */
export function parseWindow(name: string, text: string, zone: TimeZone): Window {
  const refuse = (why: string) =>
    new AtomicError('invalid', `window '${name}': ${why}`, {
      hint: "write it as '[DAYS] START LENGTH [ZONE]', such as 'sat,sun 02:00 3h Europe/Berlin'",
    });
  const words = text.trim().split(/\s+/);
  const at = words.findIndex((word) => /^\d{1,2}:\d{2}$/.test(word));
  if (at < 0 || at > 1) throw refuse(`'${text.trim()}' has no start such as 02:00`);
  const [hours = 0, minutes = 0] = (words[at] ?? '').split(':').map(Number);
  if (hours > 23 || minutes > 59) throw refuse(`'${words[at]}' is no time of day`);
  const rest = words.slice(at + 1);
  const spans = rest.findIndex((word) => !/^[\d.]+[a-z]*$/.test(word));
  const span = (spans < 0 ? rest : rest.slice(0, spans)).join(' ');
  const zones = spans < 0 ? [] : rest.slice(spans);
  if (span === '') throw refuse('it has no length');
  if (zones.length > 1) throw refuse(`'${zones.join(' ')}' is not one time zone`);
  const length = parseDuration(span, `window '${name}'`);
  if (length < MIN_SECONDS) throw refuse(`${formatDuration(length)} is too short: it takes half an hour to be noticed`);
  if (length > WEEK_SECONDS) throw refuse(`${formatDuration(length)} is longer than a week`);
  const [named] = zones;
  return {
    name,
    days: at === 0 ? new Set(DAYS.keys()) : parseDays(words[0] ?? '', refuse),
    start: hours * 3600 + minutes * 60,
    length,
    zone: named === undefined ? zone : new TimeZone(named),
  };
}

function parseDays(text: string, refuse: (why: string) => AtomicError): ReadonlySet<number> {
  const days = new Set<number>();
  const day = (word: string): number => {
    const found = DAYS.indexOf(word.slice(0, 3));
    if (found < 0 || !/^[a-z]+$/.test(word)) throw refuse(`'${word}' is no day of the week`);
    return found;
  };
  for (const item of text.toLowerCase().split(',')) {
    if (item === 'daily' || item === '*') for (const one of DAYS.keys()) days.add(one);
    else {
      const [from = '', to, ...more] = item.split('..');
      if (more.length > 0) throw refuse(`'${item}' is no range of days`);
      const first = day(from);
      const last = to === undefined ? first : day(to);
      // fri..mon goes over the weekend.
      for (let one = first; ; one = (one + 1) % 7) {
        days.add(one);
        if (one === last) break;
      }
    }
  }
  return days;
}

/** A window as {@link parseWindow} reads it. */
export function formatWindow(window: Window): string {
  const pad = (value: number) => String(value).padStart(2, '0');
  const start = `${pad(Math.floor(window.start / 3600))}:${pad(Math.floor(window.start / 60) % 60)}`;
  const days = DAYS.filter((_, index) => window.days.has(index)).join(',');
  const length = spell(window.length);
  return `${window.days.size === 7 ? 'daily' : days} ${start} ${length} ${window.zone.name}`;
}

/** Every unit of a length: the text must mean the same when read again. */
function spell(seconds: number): string {
  const parts: [number, string][] = [
    [Math.floor(seconds / 3600), 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ];
  return parts
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count}${unit}`)
    .join(' ');
}

/**
 * When a window is open, of all times that end after `from` and begin before `to`. It opens at the first instant at
 * which a clock of its zone shows its start on one of its days, or a later time, and stays open for its length as
 * time passes: once a day and never shorter, whatever the clocks do.
 */
export function openings(window: Window, from: number, to: number): Interval[] {
  const found: Interval[] = [];
  const first = window.zone.date(from - window.length * 1000);
  for (let days = -2; ; days++) {
    const date = addDays(first, days);
    const local = dateStart(date) + window.start * 1000;
    // No clock is more than a day from UTC.
    if (local - 86_400_000 > to) return found;
    if (!window.days.has(weekday(date))) continue;
    const open = window.zone.firstInstant(local);
    const close = open + window.length * 1000;
    if (close > from && open < to) found.push({ open, close });
  }
}

/** Which windows are open at `now`, and when the next one opens; one that is open does not count. */
export function windowsAt(
  windows: readonly Window[],
  now: number,
): { open: (Interval & { window: Window })[]; next: (Interval & { window: Window }) | null } {
  // Each opens once a week at least, give or take what clocks and calendars do.
  const horizon = now + (WEEK_SECONDS + 2 * 86_400) * 1000;
  const all = windows
    .flatMap((window) => openings(window, now, horizon).map((interval) => ({ ...interval, window })))
    .sort((a, b) => a.open - b.open);
  return { open: all.filter(({ open }) => open <= now), next: all.find(({ open }) => open > now) ?? null };
}
