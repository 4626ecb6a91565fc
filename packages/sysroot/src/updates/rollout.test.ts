import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stringVariant } from '@atomic/ostree';
import fc from 'fast-check';
import { offeredAt, PAUSED, parseRollout, placeOf, ROLLOUT_KEY, rolloutOf } from './rollout.ts';

const HOUR = 3600;
const commitTime = 1_700_000_000;

test('curves: linear, gentle, by corners', () => {
  const at = (text: string, place: number) => (offeredAt(parseRollout(text), commitTime, place) ?? 0) - commitTime;
  assert.deepEqual(
    [0, 0.25, 0.5, 1].map((place) => at('duration=48h', place)),
    [0, 12 * HOUR, 24 * HOUR, 48 * HOUR],
  );
  assert.deepEqual(
    [0, 0.25, 1].map((place) => at('duration=48h curve=gentle', place)),
    [0, 24 * HOUR, 48 * HOUR],
  );
  assert.deepEqual(
    [0, 0.01, 0.055, 0.1, 0.55, 1].map((place) => at('curve=1h:1,6h:10,24h:100', place)),
    [0, HOUR, 3.5 * HOUR, 6 * HOUR, 15 * HOUR, 24 * HOUR],
  );
  // Canaries, a pause, everybody.
  assert.deepEqual(
    [0.04, 0.05, 0.5].map((place) => at('curve=0h:5,24h:5,24h:100', place)),
    [0, 0, 24 * HOUR],
  );
  assert.equal(at('duration=0s', 0.99), 0);
});

test('a start of its own, a pause, nothing said', () => {
  assert.equal(offeredAt(parseRollout('start=2026-12-01T06:00Z duration=10h'), commitTime, 0.5), 1796122800);
  assert.equal(offeredAt(parseRollout('start=1800000000'), commitTime, 0.9), 1_800_000_000);
  assert.equal(offeredAt(parseRollout('paused'), commitTime, 0), null);
  assert.equal(offeredAt(PAUSED, commitTime, 0), null);
  const said = (text: string) => new Map([[ROLLOUT_KEY, stringVariant(text)]]);
  // No roll-out: at once, even by a clock that is behind.
  assert.equal(offeredAt(rolloutOf('a'.repeat(64), new Map(), null), commitTime, 0.9), 0);
  const summary = new Map([[`${ROLLOUT_KEY}.${'a'.repeat(64)}`, stringVariant('paused')]]);
  assert.equal(rolloutOf('a'.repeat(64), said('duration=1h'), summary).paused, true);
  assert.equal(rolloutOf('b'.repeat(64), said('duration=1h'), summary).paused, false);
});

test('a commit from beyond all calendars is not offered, and breaks nothing', () => {
  for (const when of [1e18, -1e18, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.equal(offeredAt(parseRollout('duration=1d'), when, 0.5), null);
  }
});

test('what nobody understands is refused', () => {
  for (const text of [
    'duration=',
    'duration=1x',
    'start=tomorrow',
    'speed=1',
    'curve=slow',
    'curve=1h:50',
    'curve=2h:50,1h:100',
    'curve=1h:50,2h:40',
    'curve=1h:101',
    'curve=1h:1:2',
    'curve=',
    '',
  ]) {
    assert.throws(() => parseRollout(text), { code: 'invalid' }, text);
  }
});

test('places: even, of each host and commit its own, and no host is always first', () => {
  const commits = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(64));
  const hosts = Array.from({ length: 4000 }, (_, at) => `host-${at}`);
  for (const commit of commits) {
    const early = hosts.filter((host) => placeOf(host, commit) < 0.1).length;
    assert.ok(early > 320 && early < 480, `${early} of 4000 are in the first tenth`);
  }
  const always = hosts.filter((host) => commits.every((commit) => placeOf(host, commit) < 0.1)).length;
  assert.ok(always < 8, `${always} hosts are early each time`);
});

test('later places are never offered it sooner, and the shares are those of the curve', () => {
  const corner = fc.tuple(fc.integer({ min: 0, max: 100 }), fc.integer({ min: 0, max: 100 }));
  fc.assert(
    fc.property(fc.array(corner, { maxLength: 5 }), fc.integer({ min: 100, max: 200 }), (corners, end) => {
      const times = corners.map(([hours]) => hours).sort((a, b) => a - b);
      const shares = corners.map(([, share]) => share).sort((a, b) => a - b);
      const text = [...times.map((hours, at) => `${hours}h:${shares[at]}`), `${end}h:100`].join(',');
      const rollout = parseRollout(`curve=${text}`);
      const offers = Array.from({ length: 101 }, (_, place) => offeredAt(rollout, commitTime, place / 100) ?? 0);
      for (const [place, offer] of offers.entries()) {
        assert.ok(place === 0 || offer >= (offers[place - 1] ?? 0));
        assert.ok(offer >= commitTime && offer <= commitTime + end * HOUR);
      }
      for (const [at, hours] of times.entries()) {
        // Whoever stands within the share of a corner has it by then.
        const share = shares[at] ?? 0;
        assert.ok((offers[share] ?? 0) <= commitTime + hours * HOUR);
      }
    }),
  );
});
