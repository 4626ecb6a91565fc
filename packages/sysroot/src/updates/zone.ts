import { readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { AtomicError } from '@atomic/ostree';

/** Milliseconds; times are Unix times unless a name says `local`. */
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** A date of the calendar, without a place or a time. */
export interface CalendarDate {
  year: number;
  /** 1 to 12. */
  month: number;
  day: number;
}

/** What the clocks of a time zone show. Rules are those of the runtime's time zone database. */
export class TimeZone {
  readonly name: string;
  readonly #parts: Intl.DateTimeFormat;
  readonly #words: Intl.DateTimeFormat;

  /** Throws `invalid` for a name that the time zone database does not have. */
  constructor(name: string) {
    this.name = name;
    try {
      this.#parts = new Intl.DateTimeFormat('en-US', {
        timeZone: name,
        hourCycle: 'h23',
        year: 'numeric',
        month: 'numeric',
        day: 'numeric',
        hour: 'numeric',
        minute: 'numeric',
        second: 'numeric',
      });
      this.#words = new Intl.DateTimeFormat('en-GB', {
        timeZone: name,
        weekday: 'short',
        timeZoneName: 'short',
      });
    } catch (error) {
      throw new AtomicError('invalid', `'${name}' is no time zone`, {
        hint: 'use a name such as Europe/Berlin, or UTC; timedatectl list-timezones has them all',
        cause: error,
      });
    }
  }

  /** What a clock there shows at `time`, as the Unix time (ms) at which a clock of UTC shows the same. */
  local(time: number): number {
    const part = new Map(this.#parts.formatToParts(time).map(({ type, value }) => [type, Number(value)]));
    const get = (type: Intl.DateTimeFormatPartTypes) => part.get(type) ?? 0;
    const whole = Date.UTC(get('year'), get('month') - 1, get('day'), get('hour'), get('minute'), get('second'));
    return whole + (((time % 1000) + 1000) % 1000);
  }

  /** The date there at `time`. */
  date(time: number): CalendarDate {
    const local = new Date(this.local(time));
    return { year: local.getUTCFullYear(), month: local.getUTCMonth() + 1, day: local.getUTCDate() };
  }

  /**
   * The first instant at which a clock there shows `local` (as {@link local} gives it) or a later time: with clocks
   * set forward past it that is the moment they are set, with clocks set back the first of the two times it is shown.
   */
  firstInstant(local: number): number {
    // Offsets go from -12 to +14 hours; between the changes of a zone its clock runs evenly.
    const from = local - 15 * HOUR;
    const to = local + 15 * HOUR;
    let begin = from;
    let offset = this.local(from) - from;
    // Nearly all days.
    if (this.local(local) - local === offset && this.local(to) - to === offset) return local - offset;
    for (let at = from; at < to; ) {
      const next = Math.min(at + 3 * HOUR, to);
      const changed = this.local(next) - next !== offset;
      const end = changed ? this.#change(at, next, offset) : next;
      const candidate = Math.max(begin, local - offset);
      if (candidate < end) return candidate;
      if (changed) {
        begin = end;
        offset = this.local(end) - end;
      }
      at = end;
    }
    return to;
  }

  /** The instant after `before` at which clocks there stop being `offset` ahead of UTC; they are not at `after`. */
  #change(before: number, after: number, offset: number): number {
    let low = before;
    let high = after;
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (this.local(middle) - middle === offset) low = middle;
      else high = middle;
    }
    return high;
  }

  /** An instant for people: `Sat 2026-11-28 02:00 CET`. */
  format(time: number): string {
    const text = new Date(this.local(time)).toISOString();
    const words = new Map(this.#words.formatToParts(time).map(({ type, value }) => [type, value]));
    return `${words.get('weekday')} ${text.slice(0, 10)} ${text.slice(11, 16)} ${words.get('timeZoneName')}`;
  }
}

/** The Unix time at which a clock of UTC shows the first moment of a date. */
export const dateStart = ({ year, month, day }: CalendarDate): number => Date.UTC(year, month - 1, day);

/** The date so many days later. */
export function addDays(date: CalendarDate, days: number): CalendarDate {
  const at = new Date(dateStart(date) + days * DAY);
  return { year: at.getUTCFullYear(), month: at.getUTCMonth() + 1, day: at.getUTCDate() };
}

/** 0 for Monday to 6 for Sunday. */
export const weekday = (date: CalendarDate): number => (new Date(dateStart(date)).getUTCDay() + 6) % 7;

/** The time zone a machine is set to (localtime(5); Debian's /etc/timezone where that is a copy); UTC when to none. */
export function localZone(root: string): TimeZone {
  for (const name of [linkedZone(join(root, 'etc/localtime')), writtenZone(join(root, 'etc/timezone')), 'UTC']) {
    if (name === undefined) continue;
    try {
      return new TimeZone(name);
    } catch {
      // A zone the runtime does not know is none it can reckon in.
    }
  }
  return new TimeZone('UTC');
}

function linkedZone(path: string): string | undefined {
  try {
    return /(?:^|\/)zoneinfo\/(?:posix\/|right\/)?(.+)$/.exec(readlinkSync(path))?.[1];
  } catch {
    return undefined;
  }
}

function writtenZone(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}
