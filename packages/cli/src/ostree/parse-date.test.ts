import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDate } from './parse-date.ts';

const now = 1_700_000_000; // 2023-11-14T22:13:20Z, a Tuesday
const utc = (...parts: [number, number, number, number?, number?, number?]): number => Date.UTC(...parts) / 1000;

// Each with what GNU date(1) makes of it at that time.
const cases: [string, number | null][] = [
  ['@0', 0],
  ['@-5', -5],
  ['@1600000000', 1_600_000_000],
  ['2020-09-13T12:26:40Z', 1_600_000_000],
  ['2020-09-13 12:26:40 +0000', 1_600_000_000],
  ['2020-09-13 14:26:40 +02:00', 1_600_000_000],
  ['Sun, 13 Sep 2020 12:26:40 GMT', 1_600_000_000],
  ['13 September 2020 12:26 UTC', 1_599_999_960],
  ['Sep 13, 2020 12:26:40pm UTC', 1_600_000_000],
  ['October 25 1985 UTC', utc(1985, 9, 25)],
  ['November 05 1955 UTC', utc(1955, 10, 5)],
  ['10/25/1985 1:21 am UTC', utc(1985, 9, 25, 1, 21)],
  ['2023-01-31 UTC +1 month', utc(2023, 2, 3)],
  ['Friday UTC', utc(2023, 10, 17)],
  ['now', now],
  ['yesterday', now - 86_400],
  ['3 days ago', now - 3 * 86_400],
  ['-1 week', now - 604_800],
  ['last week', now - 604_800],
  ['1 week 2 days ago', now + 604_800 - 2 * 86_400],
  ['soon', null],
  ['2020-13-01', null],
  ['2020-02-30', null],
  ['25:00', null],
  ['@x', null],
  ['12', null],
  ['2020-01-01 2020-01-02', null],
];
for (const [text, expected] of cases) {
  test(text, () => assert.equal(parseDate(text, now), expected));
}
