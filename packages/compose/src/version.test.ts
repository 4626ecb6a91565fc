import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextVersion } from './version.ts';

test('automatic versions count as rpm-ostree counts', () => {
  for (const [prefix, last, next] of [
    ['12', undefined, '12'],
    ['12', '12', '12.1'],
    ['12', '12.1', '12.2'],
    ['12', '12.9', '12.10'],
    ['12', '11.4', '12'],
    ['12', '121', '12'],
    ['12.1', '12.1.7', '12.1.8'],
    ['12', '12.x', '12'],
  ] as const) {
    assert.equal(nextVersion(prefix, last), next, `${prefix} after ${last}`);
  }
});

test('a date in the prefix, another separator', () => {
  const now = new Date('2026-03-09T23:00:00Z');
  for (const [prefix, last, next] of [
    ['22.<date:%Y>', undefined, '22.2026.0'],
    ['22.<date:%Y>', '22.2026.0', '22.2026.1'],
    ['22.<date:%Y>', '22.2025.7', '22.2026.0'],
    ['22.<date:%Y>.1', '22.2026.1.0', '22.2026.1.1'],
    ['<date:%Y%m%d>.dev', undefined, '20260309.dev.0'],
    ['<date:%y.%j>', undefined, '26.068.0'],
  ] as const) {
    assert.equal(nextVersion(prefix, last, { now }), next, `${prefix} after ${last}`);
  }
  assert.equal(nextVersion('22', '22', { separator: '-' }), '22-1');
  assert.equal(nextVersion('22', '22-1', { separator: '-' }), '22-2');
  assert.throws(() => nextVersion('<date:%Q>', undefined), /date format %Q, which is not known/);
});
