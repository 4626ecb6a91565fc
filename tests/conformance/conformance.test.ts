import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Known, readKnown, surprise } from './not-passing.ts';
import { type Exit, judge } from './tap.ts';

const exit = (stdout: string, rest: Partial<Exit> = {}): Exit => ({
  status: 0,
  timedOut: false,
  stdout,
  stderr: '',
  ...rest,
});

test('a script passes only when it ends well and holds what it planned', () => {
  assert.deepEqual(judge(exit('1..2\nok one\nok two\n')), { result: 'pass', passed: 2, skipped: 0, why: '' });
  assert.equal(judge(exit('1..3\nok one\nok two\n')).why, 'planned 3 assertions, saw 2');
  assert.equal(judge(exit('1..2\nok one\nnot ok two\n')).result, 'fail');
  assert.equal(judge(exit('ok one\nBail out! no\n')).result, 'fail');
  assert.equal(judge(exit('1..1\nok one\n', { timedOut: true })).result, 'timeout');
  const failed = judge(exit('1..2\nok one\n', { status: 1, stderr: "noise\nerror: it broke\nFile 'x'\n" }));
  assert.deepEqual(failed, { result: 'fail', passed: 1, skipped: 0, why: 'status 1: error: it broke' });
});

test('what is skipped is counted, not passed', () => {
  assert.deepEqual(judge(exit('1..0 # SKIP no gjs\n')), { result: 'skip', passed: 0, skipped: 0, why: 'no gjs' });
  assert.deepEqual(judge(exit('1..0 #SKIP no gjs\n')).result, 'skip');
  const some = judge(exit('1..2\nok one\nok # SKIP not as root\n'));
  assert.deepEqual([some.result, some.passed, some.skipped], ['pass', 1, 1]);
});

test('an outcome is held to the list, both ways', () => {
  const known: Known[] = [
    { script: 'a.sh', result: 'fails', reason: 'because of this' },
    { script: 'b.sh', suites: ['sid'], result: 'skips', reason: 'because of that' },
    { script: 'c.sh', result: 2, reason: 'because of those' },
    { script: 'd.sh', result: 'fails', needs: '/nowhere', reason: 'as a.sh, without /nowhere' },
    { script: 'e.sh', result: 'fails', needs: '/', reason: 'as a.sh, with all it needs' },
  ];
  const pass = judge(exit('1..1\nok\n'));
  const skip = judge(exit('1..0 # SKIP no\n'));
  const fail = judge(exit('1..1\n', { status: 1 }));
  const part = (skipped: number) => ({ ...pass, skipped });
  assert.equal(surprise(known, 'sid', 'x.sh', pass), undefined);
  assert.equal(surprise(known, 'sid', 'a.sh', fail), undefined);
  assert.equal(surprise(known, 'sid', 'b.sh', skip), undefined);
  assert.equal(surprise(known, 'sid', 'c.sh', part(2)), undefined);
  assert.equal(surprise(known, 'sid', 'c.sh', part(1)), undefined);
  assert.equal(surprise(known, 'sid', 'd.sh', skip), undefined);
  assert.equal(surprise(known, 'sid', 'd.sh', fail), undefined);
  for (const [suite, script, outcome] of [
    ['sid', 'd.sh', pass],
    ['sid', 'e.sh', skip],
    ['sid', 'x.sh', fail],
    ['sid', 'x.sh', skip],
    ['sid', 'x.sh', part(1)],
    ['sid', 'a.sh', pass],
    ['sid', 'a.sh', skip],
    ['trixie', 'b.sh', skip],
    ['sid', 'b.sh', fail],
    ['sid', 'c.sh', part(3)],
    ['sid', 'c.sh', pass],
  ] as const) {
    assert.notEqual(surprise(known, suite, script, outcome), undefined, `${suite} ${script} ${outcome.result}`);
  }
});

test('the list can be read, and names each script once', () => {
  const names = readKnown().flatMap(({ script, suites }) => (suites ?? ['all']).map((suite) => `${suite} ${script}`));
  assert.equal(new Set(names).size, names.length);
});
