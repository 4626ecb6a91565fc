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
