import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AtomicError } from '../error.ts';
import { bsdiff, bsdiffStream } from './bsdiff.ts';
import { bspatch } from './bspatch.ts';
import { bufferSource } from './bytes.ts';
import { matchBlocks } from './rollsum.ts';

const patched = (old: Buffer, patch: Buffer | Iterable<Buffer>, size: number): Buffer => {
  const stream = Buffer.isBuffer(patch) ? patch : Buffer.concat([...patch]);
  return Buffer.concat([...bspatch(bufferSource(old), bufferSource(stream), size)]);
};

/** Content like real files': made of pieces, of which the other content has some, moved and altered. */
const pair = fc
  .tuple(
    fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 12 }),
    fc.array(fc.tuple(fc.nat(), fc.uint8Array({ maxLength: 40 }), fc.nat(255)), { maxLength: 16 }),
  )
  .map(([pieces, edits]) => {
    const next = edits.map(([from, added, change]) => {
      const piece = Buffer.from(pieces[from % Math.max(1, pieces.length)] ?? []);
      if (piece.length > 0) piece[change % piece.length] = change;
      return Buffer.concat([piece, added]);
    });
    return [Buffer.concat(pieces), Buffer.concat(next)] as const;
  });

test('what bsdiff finds, bspatch makes', () => {
  fc.assert(
    fc.property(pair, ([old, next]) => {
      const stretches = bsdiff(old, bufferSource(next));
      let end = 0;
      for (const { to, from, length } of stretches) {
        assert.ok(to >= end && from >= 0 && from + length <= old.length && to + length <= next.length && length > 0);
        end = to + length;
      }
      assert.deepEqual(patched(old, bsdiffStream(old, next, stretches), next.length), next);
    }),
    { numRuns: 500 },
  );
});

test('a patch larger than what is looked at together, of content that is in a file', () => {
  const old = Buffer.from(Array.from({ length: 1_500_000 }, (_, i) => (Math.imul(i, 2654435761) >>> 13) & 0xff));
  const next = Buffer.concat([old.subarray(900_000), Buffer.alloc(700_001, 'new'), old.subarray(0, 1_000_003)]);
  for (let i = 0; i < next.length; i += 4099) next[i] = i & 0xff;
  const patch = Buffer.concat([...bsdiffStream(old, next, bsdiff(old, bufferSource(next)))]);
  const { size, read } = bufferSource(old);
  const pieces = [...bspatch({ size, read }, bufferSource(patch), next.length)];
  assert.ok(pieces.length > 1 && pieces.every((piece) => piece.length <= 1 << 20));
  assert.deepEqual(Buffer.concat(pieces), next);
  const room = Buffer.alloc(next.length);
  assert.deepEqual([...bspatch(bufferSource(old), bufferSource(patch), next.length, room)], [next]);
});

test('an insertion and a changed byte cost little; runs of one byte do not take for ever', () => {
  const old = Buffer.from(Array.from({ length: 200_000 }, (_, i) => (Math.imul(i, 2654435761) >>> 13) & 0xff));
  const next = Buffer.concat([old.subarray(0, 70_000), Buffer.from('inserted'), old.subarray(70_000)]);
  next[150_000] = (next[150_000] ?? 0) ^ 1;
  const stretches = bsdiff(old, bufferSource(next));
  assert.equal(
    stretches.reduce((sum, { length }) => sum + length, 0),
    old.length,
  );
  assert.ok(stretches.length <= 8, `${stretches.length} stretches`);
  // Large content is compared piece by piece, and a stretch goes on from one to the next.
  const zeros = Buffer.alloc(9_000_000);
  const long = Buffer.concat(Array.from({ length: 30 }, (_, i) => Buffer.concat([old, Buffer.from([i, 0xff])])));
  assert.deepEqual(bsdiff(long, bufferSource(long)), [{ to: 0, from: 0, length: long.length }]);
  const dotted = Buffer.from(zeros);
  for (let i = 0; i < dotted.length; i += 1000) dotted[i] = i & 0xff;
  const started = performance.now();
  assert.deepEqual(
    patched(zeros, bsdiffStream(zeros, dotted, bsdiff(zeros, bufferSource(dotted))), dotted.length),
    dotted,
  );
  assert.deepEqual(
    patched(dotted, bsdiffStream(dotted, zeros, bsdiff(dotted, bufferSource(zeros))), zeros.length),
    zeros,
  );
  assert.ok(performance.now() - started < 20_000);
});

/** A triple: bytes to add, to insert, to seek by. */
function triple(...numbers: number[]): Buffer {
  const bytes = Buffer.alloc(24);
  numbers.forEach((value, i) => {
    bytes.writeBigUInt64LE(BigInt(Math.abs(value)) | (value < 0 ? 1n << 63n : 0n), i * 8);
  });
  return bytes;
}

test('bspatch reads mendsley streams, negative seeks among them', () => {
  const old = Buffer.from('hello world');
  const patch = Buffer.concat([triple(5, 1, -5), Buffer.alloc(5), Buffer.from('!'), triple(5, 0, 0), Buffer.alloc(5)]);
  assert.equal(patched(old, patch, 11).toString(), 'hello!hello');
  // Old places that do not exist count as zeros, as in stock's.
  assert.equal(
    patched(old, Buffer.concat([triple(0, 0, -3), triple(4, 0, 0), Buffer.from('abc\0')]), 4).toString(),
    'abch',
  );
});

test('bspatch refuses lengths that lie', () => {
  const old = Buffer.from('hello');
  const cases: [string, Buffer, number][] = [
    ['cut short', triple(5, 0, 0).subarray(0, 20), 5],
    ['no content', triple(5, 0, 0), 5],
    ['negative length', Buffer.concat([triple(-1, 6, 0), Buffer.alloc(5)]), 5],
    ['beyond the object', Buffer.concat([triple(6, 0, 0), Buffer.alloc(6)]), 5],
    ['huge length', triple(2 ** 52, 0, 0), 5],
    [
      'huge seek',
      Buffer.concat([triple(1, 0, 2 ** 52), Buffer.alloc(1), triple(1, 0, 2 ** 53 - 1), Buffer.alloc(1)]),
      5,
    ],
  ];
  for (const [name, patch, size] of cases) {
    assert.throws(
      () => patched(old, patch, size),
      (error) => error instanceof AtomicError && error.code === 'corrupt',
      name,
    );
  }
});

test('blocks are found again wherever they moved, and every byte is accounted for', () => {
  const old = Buffer.from(
    Array.from({ length: 300_000 }, (_, i) => (Math.imul(i ^ (i >> 7), 2654435761) >>> 11) & 0xff),
  );
  const next = Buffer.concat([Buffer.from('a beginning of its own'), old.subarray(50_000), old.subarray(0, 50_000)]);
  const blocks = matchBlocks(bufferSource(old), bufferSource(next));
  const made = Buffer.concat(
    blocks.map(({ to, from, length }) =>
      from === null ? next.subarray(to, to + length) : old.subarray(from, from + length),
    ),
  );
  assert.deepEqual(made, next);
  const matched = blocks.reduce((sum, block) => sum + (block.from === null ? 0 : block.length), 0);
  assert.ok(matched > 0.8 * next.length, `${matched} of ${next.length}`);
});
