import assert from 'node:assert/strict';
import { test } from 'node:test';
import { completeRefspec } from './rebase.ts';
import { parseRevision } from './revision.ts';

const SUM = 'ab'.repeat(32);

test('a refspec is completed with what is followed now', () => {
  for (const [given, present, wanted] of [
    ['os/next', 'origin:os/main', 'origin:os/next'],
    ['other:', 'origin:os/main', 'other:os/main'],
    [':os/local', 'origin:os/main', 'os/local'],
    ['other:os/next', 'origin:os/main', 'other:os/next'],
    ['os/next', 'os/main', 'os/next'],
    ['os/next', undefined, 'os/next'],
    ['os/next', SUM, 'os/next'],
    ['ostree://other:os/next', 'origin:os/main', 'other:os/next'],
    [SUM, 'origin:os/main', SUM],
    [`:${SUM}`, 'origin:os/main', SUM],
  ] as const) {
    assert.equal(completeRefspec(given, present), wanted, given);
  }
});

test('what cannot be a refspec is refused, and nothing is guessed', () => {
  for (const [given, present] of [
    ['', 'origin:os/main'],
    ['other:', undefined],
    ['other:', SUM],
    ['a:b:c', 'origin:os/main'],
    ['../../etc', 'origin:os/main'],
    ['origin:a b', undefined],
  ] as const) {
    assert.throws(() => completeRefspec(given, present), { code: 'invalid' }, given);
  }
});

test('a revision is a version or a checksum', () => {
  assert.deepEqual(parseRevision('12.3'), { kind: 'version', value: '12.3' });
  assert.deepEqual(parseRevision(SUM), { kind: 'checksum', value: SUM });
  assert.deepEqual(parseRevision(`version=${SUM}`), { kind: 'version', value: SUM });
  assert.deepEqual(parseRevision(`Revision=${SUM}`), { kind: 'checksum', value: SUM });
  assert.throws(() => parseRevision('revision=12'), /not a commit checksum/);
});
