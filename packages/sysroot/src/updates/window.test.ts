import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { formatWindow, openings, parseWindow, type Window, windowsAt } from './window.ts';
import { addDays, dateStart, TimeZone, weekday } from './zone.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** North and south, whole and half hours, changes at midnight, a change of half an hour, days left out, none at all. */
const ZONES = [
  'Europe/Berlin',
  'Europe/Dublin',
  'America/New_York',
  'America/St_Johns',
  'America/Sao_Paulo',
  'America/Havana',
  'America/Santiago',
  'Asia/Beirut',
  'Asia/Tehran',
  'Asia/Kathmandu',
  'Africa/Casablanca',
  'Australia/Lord_Howe',
  'Pacific/Apia',
  'Pacific/Chatham',
  'Antarctica/Troll',
  'UTC',
];

/** What a clock shows, by another way than the code under test: a whole date as text. */
function shown(name: string): (time: number) => number {
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone: name, dateStyle: 'short', timeStyle: 'medium' });
  return (time) => Date.parse(`${format.format(time).replace(' ', 'T')}Z`);
}

/** Every change of a zone's clocks from 1995 to 2037: the first minute after it. */
function changes(name: string): number[] {
  const clock = shown(name);
  const offset = (time: number) => clock(time) - time;
  const found: number[] = [];
  const step = 12 * HOUR;
  let before = offset(Date.UTC(1995, 0, 1));
  for (let at = Date.UTC(1995, 0, 1); at < Date.UTC(2037, 11, 31); at += step) {
    const after = offset(at + step);
    if (before === after) continue;
    before = after;
    let [low, high] = [at, at + step];
    while (high - low > MINUTE) {
      const middle = low + Math.floor((high - low) / 2 / MINUTE) * MINUTE;
      if (offset(middle) === offset(low)) low = middle;
      else high = middle;
    }
    found.push(high);
  }
  return found;
}

const window = (text: string, zone = 'UTC') => parseWindow('w', text, new TimeZone(zone));
const time = (text: string) => Date.parse(text);
const list = (one: Window, from: string, to: string) =>
  openings(one, time(from), time(to)).map(
    ({ open, close }) => `${new Date(open).toISOString().slice(0, 16)}/${new Date(close).toISOString().slice(11, 16)}`,
  );

describe('windows as written', () => {
  test('days, start, length, zone', () => {
    const one = window('mon..fri,sun 02:05 1h 30min Europe/Berlin');
    assert.deepEqual([...one.days].sort(), [0, 1, 2, 3, 4, 6]);
    assert.deepEqual([one.start, one.length, one.zone.name], [7500, 5400, 'Europe/Berlin']);
    assert.equal(formatWindow(one), 'mon,tue,wed,thu,fri,sun 02:05 1h 30min Europe/Berlin');
    assert.deepEqual([...window('fri..mon 1:00 3h').days].sort(), [0, 4, 5, 6]);
    assert.equal(window('23:30 2h').days.size, 7);
    assert.equal(window('Saturday,Sunday 23:30 2h').days.size, 2);
  });

  test('what is written is read again', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 0, max: 6 }), { minLength: 1 }),
        fc.integer({ min: 0, max: 1439 }),
        fc.integer({ min: 1800, max: 604_800 }),
        fc.constantFrom(...ZONES),
        (days, minute, length, zone) => {
          const one = { name: 'w', days: new Set(days), start: minute * 60, length, zone: new TimeZone(zone) };
          const again = window(formatWindow(one));
          assert.deepEqual([...again.days].sort(), days.sort());
          assert.deepEqual([again.start, again.length, again.zone.name], [one.start, length, zone]);
        },
      ),
    );
  });

  test('what makes no sense is refused by name', () => {
    const wrong = [
      '',
      'sat',
      'sat 25:00 3h',
      'sat 02:60 3h',
      'someday 02:00 3h',
      'mon..tue..wed 02:00 3h',
      '02:00',
      '02:00 10min',
      '02:00 8d',
      '02:00 3h Europe/Nowhere',
      '02:00 3h Europe/Berlin UTC',
      '02:00 3x',
      'sat sun 02:00 3h',
    ];
    for (const text of wrong) assert.throws(() => window(text), { code: 'invalid' }, text);
    assert.throws(() => window('sat 25:00 3h'), /window 'w'/);
  });
});

describe('when clocks change', () => {
  test('a start that the clock leaps over: open from the leap on, for the whole length', () => {
    // Berlin, 29 March 2026: 02:00 is 03:00.
    const one = window('sun 02:30 3h Europe/Berlin');
    assert.deepEqual(list(one, '2026-03-28T00:00Z', '2026-03-30T00:00Z'), ['2026-03-29T01:00/04:00']);
  });

  test('a start that comes twice: open from the first, once', () => {
    // Berlin, 25 October 2026: 03:00 is 02:00.
    const one = window('sun 02:30 1h Europe/Berlin');
    assert.deepEqual(list(one, '2026-10-24T00:00Z', '2026-10-26T00:00Z'), ['2026-10-25T00:30/01:30']);
  });

  test('over midnight and the end of the week', () => {
    const one = window('sun 23:30 2h');
    assert.deepEqual(list(one, '2026-11-23T00:30Z', '2026-11-23T02:00Z'), ['2026-11-22T23:30/01:30']);
    assert.deepEqual(list(one, '2026-11-23T01:30Z', '2026-11-29T23:30Z'), []);
    const whole = window('mon 00:00 7d');
    const { open, next } = windowsAt([whole], time('2026-11-25T12:00Z'));
    assert.deepEqual([open[0]?.open, open[0]?.close], [time('2026-11-23T00:00Z'), time('2026-11-30T00:00Z')]);
    assert.equal(next?.open, time('2026-11-30T00:00Z'));
  });

  test('a day that a zone left out does not lose its window', () => {
    // Samoa went from Thursday the 29th to Saturday the 31st of December 2011.
    const one = window('fri 10:00 1h Pacific/Apia');
    assert.deepEqual(list(one, '2011-12-30T00:00Z', '2011-12-31T12:00Z'), ['2011-12-30T10:00/11:00']);
  });

  for (const name of ZONES) {
    test(`${name}: every change of its clocks`, () => {
      const zone = new TimeZone(name);
      const clock = shown(name);
      let looked = 0;
      for (const change of changes(name)) {
        // The oracle: the clock read every quarter of an hour over three days, and when it changes (00:01 in St John's).
        const quarters = Math.floor(change / (15 * MINUTE));
        const grid = Array.from({ length: 288 }, (_, at) => (quarters - 144 + at) * 15 * MINUTE);
        const times = [...new Set([...grid, change])].sort((a, b) => a - b);
        const seen = times.map(clock);
        const dates = [...new Set(seen.map((local) => Math.floor(local / DAY) * DAY))];
        fc.assert(
          fc.property(fc.integer({ min: 0, max: 95 }), fc.integer({ min: 2, max: 200 }), (quarter, quarters) => {
            const start = quarter * 15 * MINUTE;
            const one: Window = {
              name: 'w',
              days: new Set([0, 1, 2, 3, 4, 5, 6]),
              start: start / 1000,
              length: quarters * 900,
              zone,
            };
            const opened = openings(one, change - DAY, change + DAY);
            // Once a date of the calendar, of the same length however the clocks went, in order.
            for (const [at, { open, close }] of opened.entries()) {
              assert.equal(close - open, quarters * 900_000);
              assert.ok(at === 0 || open > (opened[at - 1]?.open ?? 0) - 1);
            }
            for (const date of dates.slice(1, -1)) {
              const expected = times[seen.findIndex((local) => local >= date + start)];
              assert.ok(expected !== undefined);
              assert.equal(zone.firstInstant(date + start), expected, new Date(date + start).toISOString());
              if (expected + quarters * 900_000 > change - DAY && expected < change + DAY) {
                assert.ok(opened.some(({ open }) => open === expected));
              }
            }
          }),
          { numRuns: 4 },
        );
        looked++;
      }
      assert.ok(looked > 0 || ['UTC', 'Asia/Kathmandu'].includes(name), 'there were changes to look at');
    });
  }

  test('any instant: what is open holds it, what comes next does not', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...ZONES),
        fc.integer({ min: Date.UTC(2020, 0, 1), max: Date.UTC(2037, 0, 1) }),
        fc.uniqueArray(fc.integer({ min: 0, max: 6 }), { minLength: 1 }),
        fc.integer({ min: 0, max: 1439 }),
        fc.integer({ min: 1800, max: 604_800 }),
        (zone, now, days, minute, length) => {
          const one = { name: 'w', days: new Set(days), start: minute * 60, length, zone: new TimeZone(zone) };
          const { open, next } = windowsAt([one], now);
          for (const at of open) assert.ok(at.open <= now && now < at.close);
          assert.ok(next !== null && next.open > now && next.open < now + 8 * DAY);
          assert.deepEqual(windowsAt([one], next.open).open.at(-1)?.open, next.open);
          // It opens on one of its days, at its time or where the clock leapt over it.
          const local = one.zone.local(next.open);
          const wanted = [...Array(3).keys()].map((back) => addDays(one.zone.date(next.open), -back));
          assert.ok(
            wanted.some((date) => one.days.has(weekday(date)) && local - dateStart(date) - minute * MINUTE < 25 * HOUR),
          );
        },
      ),
      { numRuns: 300 },
    );
  });
});
