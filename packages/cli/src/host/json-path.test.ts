import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jsonPath } from './json-path.ts';

const value = {
  deployments: [
    { id: 'a', 'base-x': 1 },
    { id: 'b', nested: { id: 'c' } },
  ],
  cached: null,
};

test('what a JSONPath picks', () => {
  for (const [expression, wanted] of [
    ['$', [value]],
    ['$.cached', [null]],
    ['$.absent', []],
    ['$.deployments[0].id', ['a']],
    ['$.deployments[5]', []],
    ['$.deployments[0,1].id', ['a', 'b']],
    ['$.deployments[*].id', ['a', 'b']],
    ['$.deployments.*.id', ['a', 'b']],
    ['$.deployments[1:].id', ['b']],
    ['$.deployments[-1:].id', ['b']],
    ['$.deployments[::2].id', ['a']],
    ["$.deployments[0]['base-x','id']", [1, 'a']],
    ['$..id', ['a', 'b', 'c']],
    ['$..nested.id', ['c']],
  ] as const) {
    assert.deepEqual(jsonPath(value, expression), wanted, expression);
  }
});

test('one that means nothing is refused', () => {
  for (const expression of ['', 'deployments', '$.', '$a', '$..', '$.a[?(@.b)]', '$.a[', '$.a[1:2:0]', '$...a']) {
    assert.throws(() => jsonPath(value, expression), { code: 'usage' }, expression);
  }
});

test('names of what all objects have are no names of theirs', () => {
  assert.deepEqual(jsonPath(value, '$.constructor'), []);
  assert.deepEqual(jsonPath(value, '$.__proto__'), []);
});
