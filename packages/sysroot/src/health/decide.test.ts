import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sameDeployment } from '../deployment.ts';
import { type Candidate, decide, decideVerdict, type Facts, rollbackTarget, type Step } from './decide.ts';
import type { Failure, TrialRecord } from './records.ts';

const id = (letter: string, serial = 0) => ({ os: 'os', checksum: letter.repeat(64), serial });
const candidate = (letter: string, state: { proven?: boolean; bad?: boolean; serial?: number } = {}): Candidate => ({
  ...id(letter, state.serial ?? 0),
  version: letter,
  proven: state.proven ?? false,
  bad: state.bad ?? false,
});
const boot = { id: 'boot-9', at: '2026-01-01T00:00:00Z' };
const failure: Failure = { reason: 'unit x.service: failed' };
const facts = (booted: Candidate, deployments: Candidate[], rest: Partial<Facts> = {}): Facts => ({
  boot,
  booted,
  deployments,
  trial: null,
  loader: null,
  tries: 3,
  ...rest,
});
const trying = (letter: string, boots: string[]): TrialRecord => ({
  state: 'trying',
  deployment: id(letter),
  version: letter,
  boots: boots.map((name) => ({ id: name, at: '' })),
});

describe('what is decided early in a boot', () => {
  const old = candidate('a', { proven: true });
  const young = candidate('b');

  test('a proven version alone: nothing', () => {
    assert.deepEqual(decide(facts(old, [old])), { do: 'rest' });
  });

  test('the first boot of a new version is counted, then checked; looking twice counts once', () => {
    const step = decide(facts(young, [young, old]));
    assert.equal(step.do, 'note');
    assert.ok(step.do === 'note' && step.trial.state === 'trying');
    assert.deepEqual(step.trial.boots, [boot]);
    assert.deepEqual(decide(facts(young, [young, old], { trial: step.trial })), { do: 'check' });
  });

  test('boots without a verdict add up, and the fourth of three is a failure', () => {
    const twice = decide(facts(young, [young, old], { trial: trying('b', ['1', '2']) }));
    assert.ok(twice.do === 'note' && twice.trial.state === 'trying' && twice.trial.boots.length === 3);
    const thrice = decide(facts(young, [young, old], { trial: trying('b', ['1', '2', '3']) }));
    assert.ok(thrice.do === 'note' && thrice.trial.state === 'failed');
    assert.match(thrice.trial.failure.reason, /3 times of 3 .* never came to an end/);
  });

  test('boots of another trial do not count for this one', () => {
    const step = decide(facts(young, [young, old], { trial: trying('c', ['1', '2', '3']) }));
    assert.deepEqual(step, { do: 'forget-trial' });
  });

  test('the boot loader took the old one because the new one used up its tries', () => {
    const step = decide(facts(old, [young, old], { loader: { tried: 'fallback', left: 0 } }));
    assert.ok(step.do === 'note' && step.trial.state === 'failed');
    assert.ok(sameDeployment(step.trial.deployment, young));
    assert.match(step.trial.failure.reason, /never came up/);
  });

  test('somebody chose the old one in the menu: the new one is not condemned', () => {
    assert.deepEqual(decide(facts(old, [young, old], { loader: { tried: 'fallback', left: 2 } })), { do: 'rest' });
    assert.deepEqual(decide(facts(old, [young, old])), { do: 'rest' });
  });

  test('a boot loader that was not told of the good verdict is told', () => {
    const good = candidate('b', { proven: true });
    const loader = { tried: 'first', left: 2 } as const;
    assert.deepEqual(decide(facts(good, [good, old], { loader })), { do: 'end-counting' });
  });

  test('what is marked bad and booted all the same: it is said, nothing is done', () => {
    const bad = candidate('b', { bad: true });
    assert.equal(decide(facts(bad, [old, bad])).do, 'stay');
  });

  test('gone back, and booted again by hand: no second reboot', () => {
    const bad = candidate('b', { bad: true });
    const trial: TrialRecord = { state: 'rolled-back', deployment: id('b'), to: id('a'), bootId: 'boot-8', failure };
    assert.equal(decide(facts(bad, [old, bad], { trial })).do, 'stay');
    assert.deepEqual(decide(facts(bad, [old, bad], { trial: { ...trial, bootId: boot.id } })), {
      do: 'reboot',
      into: id('a'),
    });
    assert.deepEqual(decide(facts(old, [old, bad], { trial })), { do: 'forget-trial' });
  });

  test('stranded: checked again in each boot, never rebooted', () => {
    const bad = candidate('b', { bad: true });
    const trial: TrialRecord = { state: 'stranded', deployment: id('b'), failure, at: '' };
    assert.deepEqual(decide(facts(bad, [bad], { trial })), { do: 'check' });
    assert.equal(decideVerdict(facts(bad, [bad], { trial }), failure).do, 'stay');
    // Well again, but the mark is only an administrator's to take back.
    assert.deepEqual(decideVerdict(facts(bad, [bad], { trial }), null), { do: 'forget-trial' });
    // Never marked, for there was no other: it proves itself as any does.
    const only = candidate('b');
    assert.deepEqual(decideVerdict(facts(only, [only], { trial }), null), { do: 'prove', deployment: only });
    const proven = candidate('b', { proven: true });
    assert.deepEqual(decide(facts(proven, [proven], { trial })), { do: 'forget-trial' });
  });

  test('the failed deployment was removed meanwhile', () => {
    const trial: TrialRecord = { state: 'failed', deployment: id('c'), failure, at: '' };
    assert.deepEqual(decide(facts(old, [old], { trial })), { do: 'forget-trial' });
  });
});

describe('verdicts', () => {
  test('red on what once was good is only said', () => {
    const old = candidate('a', { proven: true });
    assert.equal(decideVerdict(facts(old, [old]), failure).do, 'stay');
    assert.deepEqual(decideVerdict(facts(old, [old]), null), { do: 'rest' });
  });

  test('a verdict that comes after the deadline changes nothing', () => {
    const young = candidate('b');
    const trial: TrialRecord = { state: 'failed', deployment: id('b'), failure, at: '' };
    const late = facts(young, [young, candidate('a', { proven: true })], { trial });
    assert.equal(decideVerdict(late, null).do, 'mark-bad');
    assert.equal(decideVerdict(late, failure).do, 'mark-bad');
  });

  test('red on what is new is noted before anything is done', () => {
    const young = candidate('b');
    const step = decideVerdict(facts(young, [young, candidate('a', { proven: true })]), failure);
    assert.ok(step.do === 'note' && step.trial.state === 'failed');
    assert.equal(step.trial.failure.reason, failure.reason);
  });
});

describe('what is gone back to', () => {
  const failed = candidate('b');

  test('what runs instead; else a proven one; else the next that is not bad; never the bad', () => {
    const a = candidate('a');
    const proven = candidate('c', { proven: true });
    assert.equal(rollbackTarget(facts(a, [failed, proven, a]), failed), a);
    assert.equal(rollbackTarget(facts(failed, [failed, a, proven]), failed), proven);
    assert.equal(rollbackTarget(facts(failed, [failed, candidate('d', { bad: true }), a]), failed), a);
    assert.equal(rollbackTarget(facts(failed, [a, failed, candidate('d')]), failed), a);
    assert.equal(rollbackTarget(facts(failed, [failed, candidate('d', { bad: true })]), failed), null);
  });

  test('a proven one whose commit somebody marked bad is not', () => {
    assert.equal(rollbackTarget(facts(failed, [failed, candidate('a', { proven: true, bad: true })]), failed), null);
  });

  test('the same commit with other arguments: it goes back, and the commit is not marked', () => {
    const good = candidate('b', { proven: true, serial: 0 });
    const again = candidate('b', { serial: 1 });
    const trial: TrialRecord = { state: 'failed', deployment: id('b', 1), failure, at: '' };
    const step = decide(facts(again, [again, good], { trial }));
    assert.deepEqual(step, { do: 'make-first', deployment: good, why: failure.reason });
  });
});

/** A disk and a boot loader as far as the decisions touch them; every power cut loses all but this. */
interface Disk {
  order: Candidate[];
  trial: TrialRecord | null;
  /** Boots the loader still gives the first entry; null: it does not count. */
  left: number | null;
}

/** What a version does when it is booted. */
type Nature = 'good' | 'red' | 'panics' | 'hangs';

/** One machine, booted until it comes to rest; `cutAt` are the numbers of the steps before which the power goes. */
class Machine {
  readonly disk: Disk;
  readonly natures: ReadonlyMap<string, Nature>;
  readonly cutAt: ReadonlySet<number>;
  readonly counts: boolean;
  steps = 0;
  boots = 0;
  reboots: string[] = [];
  running: Candidate | null = null;
  #tried: 'first' | 'fallback' = 'first';

  constructor(disk: Disk, natures: ReadonlyMap<string, Nature>, cutAt: readonly number[], counts: boolean) {
    this.disk = disk;
    this.natures = natures;
    this.cutAt = new Set(cutAt);
    this.counts = counts;
  }

  /** Until nothing more happens by itself; throws when that takes too many boots. */
  live(): void {
    for (;;) {
      assert.ok(++this.boots <= 40, `no rest: ${JSON.stringify(this.disk)}`);
      this.#load();
      const running = this.running;
      assert.ok(running !== null);
      const nature = this.natures.get(running.checksum) ?? 'good';
      // A panic: the loader starts again. Without a count it would do so for ever, and nobody here could help.
      if (nature === 'panics') continue;
      try {
        if (this.#boot(running, nature) === 'rest') return;
      } catch (error) {
        if (error !== POWER) throw error;
      }
    }
  }

  #load(): void {
    const [first, second] = this.disk.order;
    assert.ok(first !== undefined);
    this.#tried = 'first';
    this.running = first;
    if (this.disk.left === null) return;
    if (this.disk.left > 0) this.disk.left--;
    else if (second !== undefined) {
      this.#tried = 'fallback';
      this.running = second;
    }
  }

  #facts(): Facts {
    const { order, trial, left } = this.disk;
    const booted = order.find((one) => this.running !== null && sameDeployment(one, this.running));
    assert.ok(booted !== undefined);
    const loader = left === null ? null : { tried: this.#tried, left };
    return { boot: { id: `boot-${this.boots}`, at: '' }, booted, deployments: order, trial, loader, tries: 3 };
  }

  #boot(running: Candidate, nature: Nature): 'rest' | 'again' {
    if (this.#settle(decide(this.#facts())) === 'reboot') return 'again';
    // The watchdog ends it, or the deadline; no verdict either way.
    if (nature === 'hangs') return 'again';
    const known = this.#facts().booted;
    const verdict = nature === 'good' ? null : failure;
    const end = this.#settle(decideVerdict(this.#facts(), verdict));
    assert.ok(sameDeployment(known, running));
    return end === 'reboot' ? 'again' : 'rest';
  }

  #settle(first: Step): Step['do'] {
    let step = first;
    for (let count = 0; ; count++) {
      assert.ok(count < 12, 'the steps come to an end');
      if (this.cutAt.has(++this.steps)) throw POWER;
      this.#perform(step);
      if (['reboot', 'stay', 'check', 'rest'].includes(step.do)) return step.do;
      step = decide(this.#facts());
    }
  }

  #change(which: Candidate, change: Partial<Candidate>, byCommit = false): void {
    this.disk.order = this.disk.order.map((one) =>
      (byCommit ? one.checksum === which.checksum : sameDeployment(one, which)) ? { ...one, ...change } : one,
    );
  }

  #perform(step: Step): void {
    const { disk } = this;
    if (step.do === 'note') disk.trial = step.trial;
    else if (step.do === 'forget-trial') disk.trial = null;
    else if (step.do === 'end-counting') disk.left = null;
    else if (step.do === 'mark-bad') this.#change(step.deployment, { bad: true }, true);
    else if (step.do === 'prove') this.#change(step.deployment, { proven: true });
    else if (step.do === 'make-first') {
      disk.order = [step.deployment, ...disk.order.filter((one) => !sameDeployment(one, step.deployment))];
      disk.left = null;
    } else if (step.do === 'reboot') {
      const target = disk.order.find((one) => sameDeployment(one, step.into));
      assert.ok(target !== undefined && !target.bad, 'never rebooted into what is bad');
      this.reboots.push(step.into.checksum);
    }
  }
}

const POWER = new Error('the power is gone');

describe('lives of a machine, with the power lost before any one or two steps', () => {
  const A = 'a'.repeat(64);
  const B = 'b'.repeat(64);
  const C = 'c'.repeat(64);
  interface Life {
    name: string;
    natures: [string, Nature][];
    order: () => Candidate[];
    /** What runs in the end, and what is marked bad. */
    ends: string;
    bad: string[];
    counts: boolean;
  }
  const withOld = () => [candidate('b'), candidate('a', { proven: true })];
  const lives: Life[] = [
    { name: 'a good upgrade', natures: [], order: withOld, ends: B, bad: [], counts: true },
    { name: 'a required check fails', natures: [[B, 'red']], order: withOld, ends: A, bad: [B], counts: true },
    { name: 'the same, no counting loader', natures: [[B, 'red']], order: withOld, ends: A, bad: [B], counts: false },
    { name: 'the kernel panics', natures: [[B, 'panics']], order: withOld, ends: A, bad: [B], counts: true },
    { name: 'it hangs', natures: [[B, 'hangs']], order: withOld, ends: A, bad: [B], counts: true },
    { name: 'it hangs, no counting loader', natures: [[B, 'hangs']], order: withOld, ends: A, bad: [B], counts: false },
    {
      name: 'an old version that was never judged',
      natures: [[B, 'red']],
      order: () => [candidate('b'), candidate('a')],
      ends: A,
      bad: [B],
      counts: true,
    },
    {
      name: 'the rollback target is bad too',
      natures: [
        [B, 'red'],
        [A, 'red'],
      ],
      order: () => [candidate('b'), candidate('a')],
      ends: A,
      bad: [A, B],
      counts: true,
    },
    {
      name: 'the target is bad too, and a third is not',
      natures: [
        [B, 'red'],
        [A, 'red'],
      ],
      order: () => [candidate('b'), candidate('a'), candidate('c')],
      ends: C,
      bad: [A, B],
      counts: true,
    },
    {
      name: 'nothing to go back to',
      natures: [[B, 'red']],
      order: () => [candidate('b')],
      ends: B,
      bad: [],
      counts: false,
    },
    {
      name: 'the only other one is marked bad',
      natures: [[B, 'red']],
      order: () => [candidate('b'), candidate('a', { proven: true, bad: true })],
      ends: B,
      bad: [A, B],
      counts: false,
    },
  ];
  for (const life of lives) {
    test(life.name, () => {
      const start = (cuts: number[]) => {
        const left = life.counts ? 3 : null;
        const machine = new Machine(
          { order: life.order(), trial: null, left },
          new Map(life.natures),
          cuts,
          life.counts,
        );
        machine.live();
        return machine;
      };
      const whole = start([]).steps;
      const cuts: number[][] = [[]];
      for (let one = 1; one <= whole; one++) {
        cuts.push([one]);
        for (let two = one + 1; two <= whole + 6; two++) cuts.push([one, two]);
      }
      for (const cut of cuts) {
        const machine = start(cut);
        const said = `cut before steps ${cut.join(', ')}`;
        assert.equal(machine.running?.checksum, life.ends, said);
        const bad = machine.disk.order.filter((one) => one.bad).map(({ checksum }) => checksum);
        assert.deepEqual(bad.sort(), life.bad.toSorted(), said);
        assert.ok(machine.reboots.length <= life.bad.length, `${said}: one reboot for each bad version at most`);
        // Booted once more it stays where it is.
        const reboots = machine.reboots.length;
        machine.live();
        assert.equal(machine.running?.checksum, life.ends, said);
        assert.equal(machine.reboots.length, reboots, said);
      }
    });
  }
});
