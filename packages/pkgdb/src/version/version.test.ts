import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareDebVersions, splitDebVersion } from './deb-version.ts';
import { compareRpmVersions, rpmvercmp, splitRpmVersion } from './rpm-version.ts';

const sign = (order: number): number => (order < 0 ? -1 : order > 0 ? 1 : 0);
const missing = (program: string, ...args: string[]): string | false =>
  spawnSync(program, args).status === 0 ? false : `no ${program} here`;

/** Pairs that are often near each other: pieces that mean something, put together at random. */
function pairs(pieces: readonly string[], wrap: (body: string) => string): [string, string][] {
  const body = fc.array(fc.constantFrom(...pieces), { maxLength: 6 }).map((list) => wrap(list.join('')));
  const changed = fc
    .tuple(fc.array(fc.constantFrom(...pieces), { maxLength: 5 }), fc.nat(5), fc.constantFrom(...pieces))
    .map(([list, at, piece]): [string, string] => [wrap(list.join('')), wrap(list.toSpliced(at, 1, piece).join(''))]);
  return fc.sample(fc.oneof(fc.tuple(body, body), changed), { numRuns: 400, seed: 20_261_121 });
}

test('Debian versions: examples of the manual', () => {
  const order = ['1.0~~', '1.0~~a', '1.0~', '1.0', '1.0a', '1.0+b1', '1.0.1', '1.2', '1.10', '1:0.1'];
  for (const [i, a] of order.entries()) {
    for (const [j, b] of order.entries()) assert.equal(sign(compareDebVersions(a, b)), sign(i - j), `${a} ${b}`);
  }
  assert.equal(compareDebVersions('1.0', '1.0-0'), 0);
  assert.equal(compareDebVersions('0:1.00', '1.0'), 0);
  assert.ok(compareDebVersions('1.99999999999999999998', '1.99999999999999999999') < 0, 'numbers of any length');
  assert.deepEqual(splitDebVersion('2:1.0-2-3'), { epoch: '2', upstream: '1.0-2', revision: '3' });
});

test('Debian versions are ordered as dpkg orders them', { skip: missing('dpkg', '--version') }, () => {
  const pieces = ['0', '00', '1', '9', '10', '007', 'a', 'b', 'Z', 'rc', '~', '~~', '+', '.', '-', 'deb12u', 'x-1'];
  const cases = pairs(pieces, (body) => `1${body}`.replace(/-+$/, ''));
  const script =
    'while read -r a b; do for op in lt eq gt; do dpkg --compare-versions "$a" $op "$b" && echo $op; done; done';
  const withEpochs = cases.map(([a, b], i) => (i % 5 === 0 ? [`${i % 3}:${a}`, `${i % 2}:${b}`] : [a, b]));
  const asked = spawnSync('sh', ['-c', script], {
    input: withEpochs.map((pair) => `${pair.join(' ')}\n`).join(''),
    encoding: 'utf8',
  });
  const said = asked.stdout.trim().split('\n');
  assert.equal(said.length, cases.length, asked.stderr);
  for (const [i, [a = '', b = '']] of withEpochs.entries()) {
    assert.equal(['lt', 'eq', 'gt'][sign(compareDebVersions(a, b)) + 1], said[i], `${a} ${b}`);
  }
});

test('RPM versions: examples of the manual', () => {
  const order = ['1.0~rc1', '1.0~rc2', '1.0', '1.0^git1', '1.0.a', '1.0.1', '1.2', '1.10', '2'];
  for (const [i, a] of order.entries()) {
    for (const [j, b] of order.entries()) assert.equal(sign(rpmvercmp(a, b)), sign(i - j), `${a} ${b}`);
  }
  assert.equal(rpmvercmp('1.0', '1_0'), 0);
  assert.equal(sign(compareRpmVersions('1:0.1-1', '9.0-1')), 1);
  assert.equal(compareRpmVersions('1.0', '1.0-7'), 0, 'no release: not compared');
  assert.deepEqual(splitRpmVersion('3:1.0-2.fc40'), { epoch: '3', version: '1.0', release: '2.fc40' });
});

test('RPM versions are ordered as rpm orders them', { skip: missing('rpm', '--version') }, () => {
  const pieces = ['0', '00', '1', '9', '10', '007', 'a', 'b', 'Z', 'rc', '~', '~~', '^', '.', '_', '+', 'fc4'];
  const cases = pairs(pieces, (body) => body).filter(([a, b]) => a !== '' && b !== '');
  const evrs = pairs(pieces, (body) => `1${body}-1`);
  const lua = [...cases, ...evrs].map(([a, b]) => `print(rpm.vercmp("${a}", "${b}") .. "\\n")`).join(' ');
  const asked = spawnSync('rpm', ['--eval', `%{lua: ${lua}}`], { encoding: 'utf8' });
  const said = asked.stdout.trim().split(/\s+/);
  assert.equal(said.length, cases.length + evrs.length, asked.stderr);
  for (const [i, [a, b]] of [...cases, ...evrs].entries()) {
    assert.equal(String(sign(compareRpmVersions(a, b))), said[i], `${a} ${b}`);
  }
});

test('any two versions have one order', () => {
  const text = fc.string({ unit: fc.constantFrom(...'019az~^.-+:é '), maxLength: 12 });
  for (const compare of [compareDebVersions, compareRpmVersions]) {
    fc.assert(
      fc.property(text, text, (a, b) => {
        assert.equal(sign(compare(a, b)), -sign(compare(b, a)) + 0);
        assert.equal(compare(a, a), 0);
      }),
    );
  }
});
