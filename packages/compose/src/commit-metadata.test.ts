import assert from 'node:assert/strict';
import { test } from 'node:test';
import { byteswap, print } from '@atomic/ostree';
import { jsonVariant } from './commit-metadata.ts';

test('JSON becomes the variants rpm-ostree makes of it', () => {
  const text = (json: Parameters<typeof jsonVariant>[0]): string => {
    const { type, value } = jsonVariant(json);
    return `${type} ${print(type, byteswap(type, value))}`;
  };
  assert.equal(text('a'), "s 'a'");
  assert.equal(text(true), 'b true');
  assert.equal(text(7), 'x int64 7');
  assert.equal(text(-1), 'x int64 -1');
  assert.equal(text(1.5), 'd 1.5');
  assert.equal(text([1, 'a']), "av [<int64 1>, <'a'>]");
  assert.equal(text({ a: { b: [] } }), "a{sv} {'a': <{'b': <@av []>}>}");
});
