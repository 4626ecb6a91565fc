const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
/** Seconds in units that are always as long; months and years go by the calendar. */
const UNITS = new Map([
  ['sec', 1],
  ['second', 1],
  ['min', 60],
  ['minute', 60],
  ['hour', 3600],
  ['day', 86_400],
  ['week', 604_800],
  ['fortnight', 1_209_600],
]);
const ORDINALS = new Map([
  ['last', -1],
  ['this', 0],
  ['next', 1],
]);
/** Hours east of UTC. */
const ZONES = new Map([
  ['z', 0],
  ['utc', 0],
  ['gmt', 0],
  ['ut', 0],
  ['est', -5],
  ['edt', -4],
  ['cst', -6],
  ['cdt', -5],
  ['mst', -7],
  ['mdt', -6],
  ['pst', -8],
  ['pdt', -7],
  ['wet', 0],
  ['bst', 1],
  ['cet', 1],
  ['cest', 2],
  ['eet', 2],
  ['eest', 3],
]);

/** What a text has said so far. */
interface Said {
  date: [year: number | null, month: number, day: number] | null;
  time: [hour: number, minute: number, second: number] | null;
  /** Seconds east of UTC; null for local time. */
  zone: number | null;
  weekday: number | null;
  seconds: number;
  months: number;
  relative: boolean;
}

type Rule = [pattern: RegExp, apply: (said: Said, match: RegExpExecArray) => boolean];

const number = (text: string | undefined): number => Number(text ?? '0');
const monthOf = (text: string | undefined): number => MONTHS.indexOf((text ?? '').slice(0, 3)) + 1;

function setDate(said: Said, year: number | null, month: number, day: number): boolean {
  if (said.date !== null || month < 1 || month > 12 || day < 1 || day > 31) return false;
  said.date = [year, month, day];
  return true;
}

function addUnits(said: Said, count: number, unit: string): boolean {
  const seconds = UNITS.get(unit);
  if (seconds !== undefined) said.seconds += count * seconds;
  else if (unit === 'month') said.months += count;
  else if (unit === 'year') said.months += 12 * count;
  else return false;
  said.relative = true;
  return true;
}

const MONTH_NAME = '(jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)(?:[a-z]*\\.?)';
const UNIT_NAME = '(sec|second|min|minute|hour|day|week|fortnight|month|year)s?\\b';

const RULES: readonly Rule[] = [
  [/^(\d{4})-(\d{1,2})-(\d{1,2})t?/, (said, [, y, m, d]) => setDate(said, number(y), number(m), number(d))],
  [
    /^(\d{1,2})\/(\d{1,2})(?:\/(\d{4}))?/,
    (said, [, m, d, y]) => setDate(said, y === undefined ? null : number(y), number(m), number(d)),
  ],
  [
    /^(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?(?:\s*([ap])\.?m\.?)?/,
    (said, [, h, m, s, half]) => {
      let hour = number(h);
      if (half !== undefined && (hour < 1 || hour > 12)) return false;
      if (half !== undefined) hour = (hour % 12) + (half === 'p' ? 12 : 0);
      if (said.time !== null || hour > 24 || number(m) > 59 || number(s) > 60) return false;
      said.time = [hour, number(m), number(s)];
      return true;
    },
  ],
  [
    new RegExp(`^([+-]?\\d+)\\s*${UNIT_NAME}(\\s+ago\\b)?`),
    (said, [, count, unit, ago]) => addUnits(said, number(count) * (ago === undefined ? 1 : -1), unit ?? ''),
  ],
  [
    /^([+-])(\d{2}):?(\d{2})?(?!\d)/,
    (said, [, sign, h, m]) => {
      if (said.time === null || said.zone !== null) return false;
      said.zone = (number(h) * 3600 + number(m) * 60) * (sign === '-' ? -1 : 1);
      return true;
    },
  ],
  [
    new RegExp(`^(\\d{1,2})[\\s-]+${MONTH_NAME}(?:[\\s,-]+(\\d{4}))?`),
    (said, [, d, m, y]) => setDate(said, y === undefined ? null : number(y), monthOf(m), number(d)),
  ],
  [
    new RegExp(`^${MONTH_NAME}\\s+(\\d{1,2})(?!\\d|:)(?:\\s*,?\\s*(\\d{4})(?!\\d))?`),
    (said, [, m, d, y]) => setDate(said, y === undefined ? null : number(y), monthOf(m), number(d)),
  ],
  [
    new RegExp(`^(last|this|next)\\s+${UNIT_NAME}`),
    (said, [, word, unit]) => addUnits(said, ORDINALS.get(word ?? '') ?? 0, unit ?? ''),
  ],
  [
    new RegExp(`^${UNIT_NAME}(\\s+ago\\b)?`),
    (said, [, unit, ago]) => addUnits(said, ago === undefined ? 1 : -1, unit ?? ''),
  ],
  [/^(now|today)\b/, (said) => addUnits(said, 0, 'day')],
  [/^yesterday\b/, (said) => addUnits(said, -1, 'day')],
  [/^tomorrow\b/, (said) => addUnits(said, 1, 'day')],
  [
    /^(sun|mon|tue|wed|thu|fri|sat)[a-z]*\.?,?/,
    (said, [, name]) => {
      if (said.weekday !== null) return false;
      said.weekday = DAYS.indexOf(name ?? '');
      return true;
    },
  ],
  [
    /^([a-z]{1,4})\b/,
    (said, [, name]) => {
      const hours = ZONES.get(name ?? '');
      if (hours === undefined || said.zone !== null) return false;
      said.zone = hours * 3600;
      return true;
    },
  ],
];

/**
 * Reads a date as `--timestamp` and `--keep-younger-than` take it (GNU's parse_datetime): `@SECONDS`, ISO 8601, RFC
 * 2822, `October 25 1985`, `yesterday`, `1 week ago`, `next month 12:00`. Unix seconds; null when it is none of these.
 */
export function parseDate(text: string, now: number = Math.floor(Date.now() / 1000)): number | null {
  let rest = text.trim().toLowerCase();
  const epoch = /^@(-?\d+)(?:\.\d+)?$/.exec(rest);
  if (epoch?.[1] !== undefined) return Number(epoch[1]);
  const said: Said = { date: null, time: null, zone: null, weekday: null, seconds: 0, months: 0, relative: false };
  while (rest !== '') {
    const taken = takeItem(rest, said);
    if (taken === 0) return null;
    rest = rest.slice(taken).replace(/^[\s,]+/, '');
  }
  return resolve(said, now);
}

/** Takes one item off the text's beginning; how long it was, 0 when it is none. */
function takeItem(rest: string, said: Said): number {
  for (const [pattern, apply] of RULES) {
    const match = pattern.exec(rest);
    if (match !== null && apply(said, match)) return match[0].length;
  }
  return 0;
}

function resolve(said: Said, now: number): number | null {
  const { zone } = said;
  // Calendar arithmetic on a clock that shows the wanted zone's time as if it were UTC.
  const offset = zone ?? -new Date(now * 1000).getTimezoneOffset() * 60;
  const clock = new Date((now + offset) * 1000);
  const [year, month, day] = said.date ?? [null, clock.getUTCMonth() + 1, clock.getUTCDate()];
  const keepTime = said.time === null && said.date === null && said.weekday === null;
  const [hour, minute, second] = keepTime
    ? [clock.getUTCHours(), clock.getUTCMinutes(), clock.getUTCSeconds()]
    : (said.time ?? [0, 0, 0]);
  const wanted = new Date(0);
  wanted.setUTCFullYear(year ?? clock.getUTCFullYear(), month - 1, day);
  if (wanted.getUTCDate() !== day) return null;
  wanted.setUTCHours(hour, minute, second);
  if (said.weekday !== null && said.date === null) {
    wanted.setUTCDate(wanted.getUTCDate() + ((said.weekday - wanted.getUTCDay() + 7) % 7));
  }
  wanted.setUTCMonth(wanted.getUTCMonth() + said.months);
  const shown = wanted.getTime() / 1000;
  const seconds = zone === null ? fromLocal(wanted) : shown - zone;
  return Number.isFinite(seconds) ? seconds + said.seconds : null;
}

/** The instant at which local clocks show what `clock` shows in UTC. */
function fromLocal(clock: Date): number {
  const local = new Date(2000, 0, 1);
  local.setFullYear(clock.getUTCFullYear(), clock.getUTCMonth(), clock.getUTCDate());
  local.setHours(clock.getUTCHours(), clock.getUTCMinutes(), clock.getUTCSeconds(), 0);
  return local.getTime() / 1000;
}
