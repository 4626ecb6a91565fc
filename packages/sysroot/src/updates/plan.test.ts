import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { POLICIES, type Policy, type UpdatesConfig } from './config.ts';
import { type Decision, type PendingDeployment, plan, type ReasonCode, type UpdateFacts } from './plan.ts';
import { forecast } from './report.ts';
import { parseRollout } from './rollout.ts';
import { type Candidate, FRESH_STATE, type UpdatesState } from './state.ts';
import { parseWindow, windowsAt } from './window.ts';
import { TimeZone } from './zone.ts';

/** A Saturday noon, UTC. */
const NOW = Date.parse('2026-11-21T12:00Z') / 1000;
const HOUR = 3600;
const UTC = new TimeZone('UTC');
const [V1, V2, V3] = ['1'.repeat(64), '2'.repeat(64), '3'.repeat(64)];

const config = (changes: Partial<UpdatesConfig> = {}): UpdatesConfig => ({
  policy: 'apply',
  interval: 6 * HOUR,
  windows: [],
  fetchInWindow: false,
  zone: UTC,
  wariness: null,
  maxWait: HOUR,
  grace: 300,
  metered: false,
  usb: false,
  staleAfter: 7 * 86_400,
  sources: new Map(),
  warnings: [],
  ...changes,
});

const facts = (changes: Partial<UpdateFacts> = {}): UpdateFacts => ({
  base: V1,
  follows: 'origin:os/main',
  pending: null,
  onTrial: false,
  bad: new Map(),
  people: [],
  inhibitors: [],
  unknown: null,
  online: true,
  metered: false,
  shutdownPlanned: false,
  boot: 'boot-1',
  machineId: 'machine',
  ...changes,
});

const candidate = (checksum: string, changes: Partial<Candidate> = {}): Candidate => ({
  checksum,
  version: checksum.slice(0, 1),
  timestamp: NOW - 1000,
  rollout: { start: 0, paused: false, curve: [[0, 1]] },
  place: 0.5,
  barrier: false,
  ...changes,
});

const state = (changes: Partial<UpdatesState> = {}): UpdatesState => ({
  ...FRESH_STATE,
  checked: NOW - 60,
  succeeded: NOW - 60,
  base: V1,
  ...changes,
});

const update = (checksum: string, changes: Partial<PendingDeployment> = {}): PendingDeployment => ({
  checksum,
  version: checksum.slice(0, 1),
  kind: 'update',
  locked: false,
  ...changes,
});
const window = (text: string) => parseWindow('night', text, UTC);
const codes = (decision: Decision): ReasonCode[] => decision.because.map(({ code }) => code);

interface Row {
  name: string;
  config?: Partial<UpdatesConfig>;
  state?: Partial<UpdatesState>;
  facts?: Partial<UpdateFacts>;
  now: Decision['now'];
  why?: ReasonCode;
  /** What is staged. */
  commit?: string;
  next?: number | null;
}

const TABLE: Row[] = [
  {
    name: 'policy none does nothing',
    config: { policy: 'none' },
    state: { checked: null },
    now: 'wait',
    why: 'policy',
    next: null,
  },
  { name: 'the first look', state: { checked: null, base: null }, now: 'check', why: 'due' },
  { name: 'a look is due', state: { checked: NOW - 7 * HOUR }, now: 'check', why: 'due' },
  { name: 'a look is not due', state: { checked: NOW - 5 * HOUR }, now: 'wait', why: 'up-to-date' },
  { name: 'another version runs', state: { base: V2 }, now: 'check' },
  { name: 'a look in the future was one by a wrong clock', state: { checked: NOW + 30 * 86_400 }, now: 'check' },
  { name: 'no network', state: { checked: null }, facts: { online: false }, now: 'wait', why: 'offline' },
  {
    name: 'a failed look is not repeated at once',
    state: { trouble: { doing: 'check', times: 1, at: NOW - 100, error: 'x' } },
    now: 'wait',
    why: 'trouble',
  },
  {
    name: 'but after five minutes and a bit',
    state: { trouble: { doing: 'check', times: 1, at: NOW - 376, error: 'x' } },
    now: 'check',
  },
  {
    name: 'and more rarely the more often it failed',
    state: { trouble: { doing: 'check', times: 4, at: NOW - 2300, error: 'x' } },
    now: 'wait',
    why: 'trouble',
  },
  {
    name: 'held',
    state: { checked: null, hold: { until: NOW + HOUR, why: 'fair' } },
    now: 'wait',
    why: 'hold',
    next: NOW + HOUR,
  },
  { name: 'held without end', state: { hold: { until: null, why: 'fair' } }, now: 'wait', why: 'hold', next: null },
  { name: 'a hold that is over', state: { checked: null, hold: { until: NOW - 1, why: 'fair' } }, now: 'check' },
  { name: 'no branch', facts: { follows: null }, now: 'wait', why: 'no-branch', next: null },
  {
    name: 'this boot is on trial',
    state: { candidates: [candidate(V2)] },
    facts: { onTrial: true, pending: update(V2) },
    now: 'wait',
    why: 'trial',
  },
  {
    name: 'something newer is staged',
    state: { candidates: [candidate(V2)] },
    now: 'stage',
    commit: V2,
    why: 'available',
  },
  {
    name: 'policy check only tells',
    config: { policy: 'check' },
    state: { candidates: [candidate(V2)] },
    now: 'wait',
    why: 'policy',
  },
  { name: 'the newest is taken', state: { candidates: [candidate(V3), candidate(V2)] }, now: 'stage', commit: V3 },
  {
    name: 'a bad commit is not; the one before it is',
    state: { candidates: [candidate(V3), candidate(V2)] },
    facts: { bad: new Map([[V3, 'no network']]) },
    now: 'stage',
    commit: V2,
    why: 'bad',
  },
  {
    name: 'a bad commit alone',
    state: { candidates: [candidate(V2)] },
    facts: { bad: new Map([[V2, 'x']]) },
    now: 'wait',
    why: 'bad',
  },
  {
    name: 'what somebody went back from',
    state: { candidates: [candidate(V2)], left: [V2] },
    now: 'wait',
    why: 'left',
  },
  {
    name: 'a barrier comes first',
    state: { candidates: [candidate(V3), candidate(V2, { barrier: true })] },
    now: 'stage',
    commit: V2,
    why: 'barrier',
  },
  {
    name: 'nothing beyond a barrier that waits to boot',
    state: { candidates: [candidate(V3), candidate(V2, { barrier: true })] },
    config: { policy: 'stage' },
    facts: { pending: update(V2) },
    now: 'wait',
    why: 'barrier',
  },
  {
    name: 'beyond it once it runs',
    state: { candidates: [candidate(V3), candidate(V2, { barrier: true })], base: V2 },
    facts: { base: V2 },
    now: 'stage',
    commit: V3,
  },
  {
    name: 'a bad barrier stops all that is newer',
    state: { candidates: [candidate(V3), candidate(V2, { barrier: true })] },
    facts: { bad: new Map([[V2, 'x']]) },
    now: 'wait',
    why: 'bad',
  },
  {
    name: 'a roll-out that has not come this far',
    state: { candidates: [candidate(V2, { rollout: parseRollout('duration=48h'), timestamp: NOW - HOUR })] },
    now: 'wait',
    why: 'rollout',
  },
  {
    name: 'a canary is first',
    config: { wariness: 0 },
    state: { candidates: [candidate(V2, { rollout: parseRollout('duration=48h'), timestamp: NOW - HOUR })] },
    now: 'stage',
    commit: V2,
  },
  {
    name: 'a wary host is last',
    config: { wariness: 1 },
    state: {
      candidates: [candidate(V2, { rollout: parseRollout('duration=48h'), timestamp: NOW - 47 * HOUR, place: 0 })],
    },
    now: 'wait',
    why: 'rollout',
  },
  {
    name: 'meanwhile the version before, which all may have',
    state: { candidates: [candidate(V3, { rollout: parseRollout('duration=48h'), timestamp: NOW }), candidate(V2)] },
    now: 'stage',
    commit: V2,
  },
  {
    name: 'paused',
    config: { wariness: 0 },
    state: { candidates: [candidate(V2, { rollout: parseRollout('paused') })] },
    now: 'wait',
    why: 'paused',
  },
  { name: 'metered', state: { candidates: [candidate(V2)] }, facts: { metered: true }, now: 'wait', why: 'metered' },
  {
    name: 'metered and allowed',
    config: { metered: true },
    state: { candidates: [candidate(V2)] },
    facts: { metered: true },
    now: 'stage',
  },
  {
    name: 'downloads in windows only',
    config: { fetchInWindow: true, windows: [window('sat 22:00 1h')] },
    state: { candidates: [candidate(V2)] },
    now: 'wait',
    why: 'window',
  },
  {
    name: 'a failed download is not repeated at once',
    state: { candidates: [candidate(V2)], trouble: { doing: 'stage', times: 1, at: NOW - 100, error: 'x' } },
    now: 'wait',
    why: 'trouble',
  },
  {
    name: 'policy stage leaves the reboot to people',
    config: { policy: 'stage' },
    facts: { pending: update(V2) },
    state: { candidates: [candidate(V2)] },
    now: 'wait',
    why: 'staged',
  },
  { name: 'apply reboots', facts: { pending: update(V2) }, state: { candidates: [candidate(V2)] }, now: 'reboot' },
  {
    name: 'a newer one takes the place of what waits',
    facts: { pending: update(V2) },
    state: { candidates: [candidate(V3), candidate(V2)] },
    now: 'stage',
    commit: V3,
  },
  {
    name: 'a rollback somebody made is not undone',
    facts: { pending: update(V2, { kind: 'other' }) },
    state: { candidates: [candidate(V3)] },
    now: 'wait',
    why: 'pending',
  },
  { name: 'locked', facts: { pending: update(V2, { locked: true }) }, now: 'wait', why: 'locked' },
  { name: 'bad by now', facts: { pending: update(V2), bad: new Map([[V2, 'x']]) }, now: 'wait', why: 'bad' },
  {
    name: 'reboots did not help',
    facts: { pending: update(V2) },
    state: { attempts: { checksum: V2, times: 3 } },
    now: 'wait',
    why: 'not-taken',
  },
  {
    name: 'outside of windows',
    config: { windows: [window('sat 13:00 1h')] },
    facts: { pending: update(V2) },
    now: 'wait',
    why: 'window',
    next: NOW + HOUR,
  },
  { name: 'in a window', config: { windows: [window('sat 11:00 2h')] }, facts: { pending: update(V2) }, now: 'reboot' },
  {
    name: 'somebody is logged in',
    facts: { pending: update(V2), people: ['ann on tty1'] },
    now: 'wait',
    why: 'people',
    next: NOW + HOUR - 300,
  },
  {
    name: 'something holds it off',
    facts: { pending: update(V2), inhibitors: ['dnf'] },
    now: 'wait',
    why: 'inhibitor',
  },
  { name: 'nobody knows', facts: { pending: update(V2), unknown: 'x' }, now: 'wait', why: 'unknown' },
  {
    name: 'not for longer than they may',
    facts: { pending: update(V2), people: ['ann on tty1'] },
    state: { blocked: { checksum: V2, since: NOW - 56 * 60 } },
    now: 'reboot',
    why: 'max-wait',
  },
  {
    name: 'for ever, if they may',
    config: { maxWait: null },
    facts: { pending: update(V2), people: ['ann on tty1'] },
    state: { blocked: { checksum: V2, since: NOW - 86_400 } },
    now: 'wait',
    why: 'people',
  },
  {
    name: 'a warning has to fit into the window',
    config: { windows: [window('sat 11:03 1h')] },
    facts: { pending: update(V2), people: ['ann on tty1'] },
    state: { blocked: { checksum: V2, since: NOW - 86_400 } },
    now: 'wait',
    why: 'window',
  },
  {
    name: 'announced',
    facts: { pending: update(V2), shutdownPlanned: true },
    state: { scheduled: { checksum: V2, at: NOW + 100, boot: 'boot-1' } },
    now: 'wait',
    why: 'scheduled',
    next: NOW + 100,
  },
  {
    name: 'a shutdown that somebody else planned will do',
    facts: { pending: update(V2), shutdownPlanned: true },
    now: 'wait',
    why: 'scheduled',
  },
  {
    name: 'called off',
    facts: { pending: update(V2) },
    state: { scheduled: { checksum: V2, at: NOW - 86_300, boot: 'boot-1' } },
    now: 'wait',
    why: 'called-off',
    next: NOW + 100,
  },
  {
    name: 'called off a day ago',
    facts: { pending: update(V2) },
    state: { scheduled: { checksum: V2, at: NOW - 86_401, boot: 'boot-1' } },
    now: 'reboot',
  },
];

describe('the plan', () => {
  for (const row of TABLE) {
    test(row.name, () => {
      const decision = plan(config(row.config), NOW, state(row.state), facts(row.facts));
      assert.equal(decision.now, row.now, JSON.stringify(decision));
      if (row.why !== undefined) assert.ok(codes(decision).includes(row.why), codes(decision).join());
      if (row.next !== undefined) assert.equal(decision.next, row.next);
      if (row.commit !== undefined) assert.equal(decision.now === 'stage' && decision.commit.checksum, row.commit);
    });
  }

  test('people are told once, and warned before they are not waited for', () => {
    const waiting = facts({ pending: update(V2), people: ['ann on tty1'] });
    const first = plan(config(), NOW, state(), waiting);
    assert.deepEqual(first.now === 'wait' && first.announce, { checksum: V2, by: NOW + HOUR });
    const again = plan(config(), NOW, state({ blocked: { checksum: V2, since: NOW - 60 } }), waiting);
    assert.equal(again.now === 'wait' && again.announce, null);
    const last = plan(config(), NOW, state({ blocked: { checksum: V2, since: NOW - HOUR } }), waiting);
    assert.deepEqual(last.now === 'reboot' && [last.warning, last.force], [300, true]);
    const alone = plan(config(), NOW, state(), facts({ pending: update(V2) }));
    assert.deepEqual(alone.now === 'reboot' && [alone.warning, alone.force], [0, false]);
  });
});

const someTime = fc.integer({ min: NOW - 10 * 86_400, max: NOW + 10 * 86_400 });
const someCommit = fc.constantFrom(V1, V2, V3);
/** Mostly the case in which something happens: all the others would hide it. */
const mostly = <T>(usual: T, arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.oneof({ weight: 6, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary });
const orNull = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(arbitrary, { nil: null });

const anyConfig: fc.Arbitrary<Partial<UpdatesConfig>> = fc.record({
  policy: mostly<Policy>('apply', fc.constantFrom(...POLICIES)),
  windows: fc.subarray([window('sat 11:30 1h'), window('daily 02:00 3h'), window('mon..fri 12:00 30min')]),
  fetchInWindow: fc.boolean(),
  wariness: orNull(fc.double({ min: 0, max: 1, noNaN: true })),
  maxWait: orNull(fc.integer({ min: 0, max: 86_400 })),
  grace: fc.integer({ min: 0, max: 1200 }),
  metered: fc.boolean(),
});
const anyState: fc.Arbitrary<Partial<UpdatesState>> = fc.record({
  checked: mostly<number | null>(NOW - 60, orNull(someTime)),
  base: mostly<string | null>(V1, orNull(someCommit)),
  candidates: fc.subarray([
    candidate(V3, { rollout: parseRollout('duration=5d'), timestamp: NOW - 86_400 }),
    candidate(V2, { barrier: true }),
  ]),
  left: mostly<string[]>([], fc.subarray([V2, V3])),
  blocked: orNull(fc.record({ checksum: someCommit, since: someTime })),
  attempts: orNull(fc.record({ checksum: someCommit, times: fc.integer({ min: 1, max: 4 }) })),
  scheduled: orNull(fc.record({ checksum: someCommit, at: someTime, boot: mostly('boot-0', fc.constant('boot-1')) })),
  hold: mostly<UpdatesState['hold']>(null, fc.record({ until: orNull(someTime), why: fc.constant('x') })),
  trouble: mostly<UpdatesState['trouble']>(
    null,
    fc.record({
      doing: fc.constantFrom('check', 'stage'),
      times: fc.integer({ min: 1, max: 60 }),
      at: someTime,
      error: fc.constant('x'),
    }),
  ),
});
const anyFacts: fc.Arbitrary<Partial<UpdateFacts>> = fc.record({
  pending: orNull(
    fc.record({
      checksum: fc.constantFrom(V2, V3),
      version: fc.constant(undefined),
      kind: mostly<PendingDeployment['kind']>('update', fc.constant('other')),
      locked: mostly(false, fc.boolean()),
    }),
  ),
  onTrial: mostly(false, fc.boolean()),
  bad: mostly(
    new Map(),
    fc.subarray([V2, V3]).map((list) => new Map(list.map((one) => [one, 'x']))),
  ),
  people: fc.subarray(['ann on tty1', 'bob on pts/0']),
  inhibitors: fc.subarray(['dnf']),
  unknown: mostly<string | null>(null, fc.constant('x')),
  online: mostly(true, fc.boolean()),
  metered: fc.boolean(),
  shutdownPlanned: fc.boolean(),
});

describe('whatever is the case', () => {
  const all = fc.tuple(anyConfig, anyState, anyFacts);

  test('no reboot but by policy, in a window, into what is good, wanted and unheld; people are waited for or warned', () => {
    let reboots = 0;
    fc.assert(
      fc.property(all, ([c, s, f]) => {
        const [settings, memory, around] = [config(c), state(s), facts(f)];
        const decision = plan(settings, NOW, memory, around);
        assert.ok(decision.because.length > 0, 'there is always a reason');
        if (decision.next !== null) assert.ok(decision.next > NOW);
        if (decision.now !== 'reboot') return;
        reboots++;
        assert.equal(settings.policy, 'apply');
        assert.ok(!around.shutdownPlanned);
        assert.equal(around.pending?.kind, 'update');
        assert.equal(decision.checksum, around.pending?.checksum);
        assert.ok(!around.bad.has(decision.checksum) && around.pending?.locked === false && !around.onTrial);
        assert.ok(memory.hold === null || (memory.hold.until !== null && memory.hold.until <= NOW));
        if (settings.windows.length > 0) {
          const { open } = windowsAt(settings.windows, NOW * 1000);
          const last = Math.max(...open.map(({ close }) => close / 1000));
          assert.ok(open.length > 0 && NOW + decision.warning <= last);
        }
        const blocked = around.people.length + around.inhibitors.length > 0 || around.unknown !== null;
        if (blocked) {
          assert.ok(settings.maxWait !== null && decision.force);
          const since = memory.blocked?.checksum === decision.checksum ? memory.blocked.since : NOW;
          assert.ok(NOW + decision.warning >= Math.min(since, NOW) + settings.maxWait);
        } else assert.ok(!decision.force);
        if (around.people.length > 0) assert.equal(decision.warning, settings.grace);
      }),
      { numRuns: 5000 },
    );
    assert.ok(reboots > 100, `${reboots} of the cases rebooted`);
  });

  test('nothing is staged that is bad, left, not offered, or beyond a barrier; nothing is done while held', () => {
    let staged = 0;
    fc.assert(
      fc.property(all, ([c, s, f]) => {
        const [settings, memory, around] = [config(c), state(s), facts(f)];
        const decision = plan(settings, NOW, memory, around);
        const held = memory.hold !== null && (memory.hold.until === null || memory.hold.until > NOW);
        if (held || settings.policy === 'none' || around.onTrial) assert.equal(decision.now, 'wait');
        if (decision.now !== 'stage') return;
        staged++;
        const { checksum } = decision.commit;
        assert.ok(settings.policy !== 'check' && around.pending?.kind !== 'other');
        assert.ok(!around.bad.has(checksum) && !memory.left.includes(checksum));
        assert.ok(around.online && (!around.metered || settings.metered));
        assert.notEqual(checksum, around.base);
        assert.notEqual(checksum, around.pending?.checksum);
        if (memory.candidates.some((one) => one.barrier)) assert.equal(checksum, V2);
      }),
      { numRuns: 5000 },
    );
    assert.ok(staged > 100, `${staged} of the cases staged`);
  });

  test('the forecast agrees: whoever reboots now was told so, and nobody is told of a reboot that policy forbids', () => {
    fc.assert(
      fc.property(all, ([c, s, f]) => {
        const view = {
          os: 'test',
          timer: null,
          stuck: null,
          now: NOW,
          config: config(c),
          state: state(s),
          facts: facts(f),
        };
        const decision = plan(view.config, NOW, view.state, view.facts);
        const coming = forecast({ ...view, decision });
        if (decision.now === 'reboot') assert.ok(coming.reboots && coming.earliest === NOW);
        if (view.config.policy !== 'apply') assert.ok(!coming.reboots);
        assert.ok(!forecast({ ...view, decision, timer: 'it is masked' }).reboots);
        if (coming.reboots) {
          assert.ok(coming.earliest >= NOW && (coming.latest === null || coming.latest >= coming.earliest));
          if (view.config.windows.length > 0) {
            assert.ok(windowsAt(view.config.windows, coming.earliest * 1000).open.length > 0);
          }
        }
      }),
      { numRuns: 2000 },
    );
  });
});
