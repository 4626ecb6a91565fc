import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';

const bin = path.join(import.meta.dirname, '../../../bin');

function run(name: string, ...args: string[]) {
  const started = performance.now();
  const result = spawnSync(path.join(bin, name), args, { encoding: 'utf8' });
  return { ...result, milliseconds: performance.now() - started };
}

test('atomic --version starts within 120 ms', () => {
  // The best of some: other tests share the processors.
  const times: number[] = [];
  for (let i = 0; i < 12; i++) {
    const { status, stdout, milliseconds } = run('atomic', '--version');
    assert.equal(status, 0);
    assert.match(stdout, /^atomic:\n Version: '\d+\.\d+\.\d+'\n/);
    times.push(milliseconds);
  }
  assert.ok(Math.min(...times) <= 120, `${times.map(Math.round).join(', ')} ms`);
});

test('--help lists every group, and every group has help with examples', () => {
  const top = run('atomic', '--help').stdout;
  for (const group of ['host', 'compose', 'vm', 'ostree', 'completion'])
    assert.match(top, new RegExp(`^ {2}${group}\\b`, 'm'));
  const commands = [
    ['host', 'upgrade'],
    ['host', 'status'],
    ['host', 'rollback'],
    ['host', 'deploy'],
    ['compose', 'tree'],
    ['compose', 'image'],
    ['vm', 'run'],
  ];
  for (const words of commands) {
    const help = run('atomic', ...words, '--help');
    assert.equal(help.status, 0, words.join(' '));
    assert.match(help.stdout, /\nExamples:\n/, words.join(' '));
  }
});

test('what is not there is refused', () => {
  for (const args of [['frob'], ['host', 'frob'], ['--frob'], ['host', 'upgrade', '--frob'], ['compose', 'tree']]) {
    const { status, stderr } = run('atomic', ...args);
    assert.equal(status, 1, args.join(' '));
    assert.match(stderr, /^error: /, args.join(' '));
  }
});

test('without a command, the usage', () => {
  const { status, stderr } = run('atomic');
  assert.equal(status, 1);
  assert.match(stderr, /^Usage: atomic /);
});
