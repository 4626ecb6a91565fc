import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatImageName, parseImageName } from './image-name.ts';

const digest = `sha256:${'0f'.repeat(32)}`;

test('names are taken apart by the grammar alone', () => {
  const none = { registry: undefined, tag: undefined, digest: undefined };
  assert.deepEqual(parseImageName('alpine'), { ...none, repository: 'alpine' });
  assert.deepEqual(parseImageName('library/alpine:3.20'), { ...none, repository: 'library/alpine', tag: '3.20' });
  assert.deepEqual(parseImageName('localhost/a'), { ...none, registry: 'localhost', repository: 'a' });
  assert.deepEqual(parseImageName(`reg:5000/a/b-c__d:v1@${digest}`), {
    registry: 'reg:5000',
    repository: 'a/b-c__d',
    tag: 'v1',
    digest,
  });
  assert.deepEqual(parseImageName('[::1]:5000/a'), { ...none, registry: '[::1]:5000', repository: 'a' });
});

test('a name is written as it was read', () => {
  for (const name of ['a', 'a/b:1', `quay.example/x/y@${digest}`, `[::1]:5000/x:t@${digest}`])
    assert.equal(formatImageName(parseImageName(name)), name);
});

test('what is no name is refused with the reason', () => {
  const refused: [string, RegExp][] = [
    ['', /malformed/],
    ['a b', /malformed/],
    ['../etc', /not a host/],
    ['a/../b', /malformed/],
    ['a//b', /malformed/],
    ['Alpine', /capitals/],
    ['a:', /is not a tag/],
    ['a:-x', /is not a tag/],
    ['a@sha256:12', /digest/],
    [`a@${digest}@${digest}`, /more than one/],
    ['f'.repeat(64), /identifier/],
    [`r.example/${'a/'.repeat(130)}a`, /letters/],
    ['ex_ample.org:x/a', /not a host/],
  ];
  for (const [name, why] of refused) assert.throws(() => parseImageName(name), why, name);
});
