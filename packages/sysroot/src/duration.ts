import { AtomicError } from '@atomic/ostree';

/** Seconds of each unit that systemd.time(7) has and a schedule needs. */
const UNITS: ReadonlyMap<string, number> = new Map([
  ...['s', 'sec', 'second', 'seconds'].map((name) => [name, 1] as const),
  ...['m', 'min', 'minute', 'minutes'].map((name) => [name, 60] as const),
  ...['h', 'hr', 'hour', 'hours'].map((name) => [name, 3600] as const),
  ...['d', 'day', 'days'].map((name) => [name, 86_400] as const),
  ...['w', 'week', 'weeks'].map((name) => [name, 604_800] as const),
]);

/** No time span is longer: half a century. */
const MAX_SECONDS = 50 * 365 * 86_400;

/**
 * Reads a time span as systemd.time(7) writes it (`90min`, `1h 30min`, `2d`; a bare number is seconds) into seconds.
 * Throws `invalid`, naming `what`.
 */
export function parseDuration(text: string, what = 'time span'): number {
  const refuse = () =>
    new AtomicError('invalid', `${what}: '${text}' is no time span`, { hint: 'write it as 45min, 6h, 1d 12h or 2w' });
  const pieces = /(\d+(?:\.\d+)?)\s*([a-z]*)\s*/g;
  const trimmed = text.trim();
  if (trimmed === '' || trimmed.replace(pieces, '') !== '') throw refuse();
  let seconds = 0;
  for (const [, number = '', unit = ''] of trimmed.matchAll(pieces)) {
    const scale = UNITS.get(unit === '' ? 's' : unit);
    if (scale === undefined) throw refuse();
    seconds += Number(number) * scale;
  }
  if (seconds > MAX_SECONDS) throw refuse();
  return Math.round(seconds);
}

/** A time span for people, its two largest units: `2d 3h`, `45min`, `10s`. */
export function formatDuration(seconds: number): string {
  const names: [string, number][] = [
    ['w', 604_800],
    ['d', 86_400],
    ['h', 3600],
    ['min', 60],
    ['s', 1],
  ];
  let left = Math.round(Math.abs(seconds));
  const parts: string[] = [];
  for (const [name, size] of names) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count > 0) parts.push(`${count}${name}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.length === 0 ? '0s' : parts.join(' ');
}
