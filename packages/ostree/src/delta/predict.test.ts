import assert from 'node:assert/strict';
import { test } from 'node:test';
import { haveLz4 } from '@atomic/linux';
import { bsdiff } from './bsdiff.ts';
import { bufferSource } from './bytes.ts';
import { findPackedKernel, packKernel, unpackKernel } from './kernel-image.ts';
import { elfSegments, learnPrediction, Predictor, stretchPieces } from './predict.ts';

const HEADERS = 64 + 56;
const BASE = 0x400000;
const FUNCTION = 64;

/** A program of one loaded piece: functions of 64 bytes that call one another, `gap` bytes put in halfway. */
function program(functions: number, gap: number): Buffer {
  const place = (i: number): number => HEADERS + i * FUNCTION + (i > functions / 2 ? gap : 0);
  const bytes = Buffer.alloc(place(functions));
  bytes.write('\x7fELF\x02\x01\x01', 'latin1');
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(1, 56);
  bytes.writeUInt32LE(1, 64);
  bytes.writeUInt32LE(5, 68);
  bytes.writeBigUInt64LE(BigInt(BASE), 80);
  bytes.writeBigUInt64LE(BigInt(bytes.length), 96);
  for (let i = 0; i < functions; i++) {
    for (let k = 0; k < FUNCTION; k++) bytes[place(i) + k] = (Math.imul(i * FUNCTION + k, 2654435761) >>> 17) & 0x7f;
    for (const at of [8, 32]) {
      const goal = place((i * 37 + at) % functions);
      bytes[place(i) + at] = 0xe8;
      bytes.writeInt32LE(goal - (place(i) + at + 5), place(i) + at + 1);
    }
  }
  return bytes;
}

test('calls between functions that moved are foretold', () => {
  const [old, next] = [program(400, 0), program(400, 24)];
  assert.deepEqual(elfSegments(old, old.length), [{ offset: 0, size: old.length, address: BASE, code: true }]);
  const stretches = bsdiff(old, bufferSource(next));
  const prediction = learnPrediction(bufferSource(old), bufferSource(next), stretches);
  assert.ok(prediction !== null);
  assert.ok(((prediction.relative[0xe8 >> 3] ?? 0) & (1 << (0xe8 & 7))) !== 0, 'the call instruction is learnt');
  const predictor = new Predictor(old.length, elfSegments(old, old.length), prediction.segments, stretches);
  const differ = (foretell: boolean): number => {
    let count = 0;
    for (const { from, to, piece } of stretchPieces(stretches)) {
      const guess = Buffer.from(old.subarray(from, from + piece));
      if (foretell) predictor.apply(guess, from, to, prediction);
      for (let i = 0; i < piece; i++) if (guess[i] !== next[to + i]) count++;
    }
    return count;
  };
  const plain = differ(false);
  assert.ok(plain > 20, `${plain} bytes differ`);
  assert.ok(differ(true) * 4 < plain, `${differ(true)} of ${plain} bytes differ still`);
});

test('headers that lie have no segments, or only what is in the file', () => {
  const bytes = program(4, 0);
  const with32 = (at: number, value: number): Buffer => {
    const changed = Buffer.from(bytes);
    changed.writeUInt32LE(value, at);
    return changed;
  };
  for (const bad of [
    Buffer.alloc(0),
    Buffer.alloc(64),
    bytes.subarray(0, 100),
    with32(32, 0xffffffff),
    with32(56, 0xffff),
    with32(96, 0xffffffff),
    with32(72, 0xffffffff),
  ]) {
    assert.deepEqual(elfSegments(bad, bad.length), []);
  }
});

test('a kernel image packs again to the same bytes', { skip: haveLz4() ? false : 'no liblz4.so.1' }, () => {
  const inside = Buffer.concat([program(4000, 0), Buffer.alloc(9 << 20, 'kernel ')]);
  const packed = Buffer.concat([...packKernel(bufferSource(inside), inside.length)]);
  const head = Buffer.alloc(2048);
  head[0x1f1] = 3;
  head.write('HdrS', 0x202);
  head.writeUInt32LE(0, 0x248);
  head.writeUInt32LE(packed.length + 4, 0x24c);
  const image = Buffer.concat([head, packed, Buffer.from('size'), Buffer.alloc(4096, 'behind')]);
  const file = bufferSource(image);
  const kernel = findPackedKernel(file);
  assert.deepEqual(kernel, { start: 2048, length: packed.length });
  assert.ok(kernel !== null);
  assert.deepEqual(Buffer.concat([...unpackKernel(file, kernel)]), inside);
  // Damage is noticed, whatever it is.
  image.writeUInt32LE(0xfffffff0, kernel.start + 4);
  assert.throws(() => [...unpackKernel(file, kernel)], /cut short/);
  head.writeUInt32LE(0x7fffffff, 0x24c);
  assert.equal(findPackedKernel(bufferSource(Buffer.concat([head, packed]))), null);
});
