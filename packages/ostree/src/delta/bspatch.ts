import { corrupt } from '../error.ts';
import type { ByteSource } from './bytes.ts';

/** Bytes of new content made at a time. */
const PIECE = 1 << 20;
const TRIPLE = 24;

/** A number of a bsdiff stream: 63 bits, little-endian, and a sign bit. */
function offtin(bytes: Buffer, at: number): number {
  const high = bytes.readUInt32LE(at + 4);
  const value = (high & 0x7fffffff) * 2 ** 32 + bytes.readUInt32LE(at);
  if (value > Number.MAX_SAFE_INTEGER) throw corrupt('bsdiff patch failed: a number is too large');
  return high >= 0x80000000 ? -value : value;
}

const failed = () => corrupt('bsdiff patch failed');

/**
 * Makes the new content of a bsdiff stream (mendsley's form, which is not packed: triples of lengths to add, to insert
 * and to seek, each followed by its bytes), piece by piece in bounded memory. Every number is checked; throws `corrupt`.
 */
export function* bspatch(old: ByteSource, patch: ByteSource, newSize: number): Generator<Buffer> {
  let at = 0;
  let made = 0;
  let oldAt = 0;
  while (made < newSize) {
    if (at + TRIPLE > patch.size) throw failed();
    const triple = patch.read(at, TRIPLE);
    at += TRIPLE;
    const add = offtin(triple, 0);
    const insert = offtin(triple, 8);
    const seek = offtin(triple, 16);
    if (add < 0 || insert < 0 || made + add + insert > newSize || at + add + insert > patch.size) throw failed();
    for (let done = 0; done < add; ) {
      const length = Math.min(PIECE, add - done);
      const piece = Buffer.from(patch.read(at + done, length));
      addOld(piece, old, oldAt + done);
      yield piece;
      done += length;
    }
    at += add;
    for (let done = 0; done < insert; ) {
      const length = Math.min(PIECE, insert - done);
      yield patch.read(at + done, length);
      done += length;
    }
    at += insert;
    made += add + insert;
    oldAt += add + seek;
    if (!Number.isSafeInteger(oldAt)) throw failed();
  }
}

/** Adds old bytes to a piece, where there are any at those places. */
export function addOld(piece: Buffer, old: ByteSource, start: number): void {
  const from = Math.max(0, -start);
  const to = Math.min(piece.length, old.size - start);
  if (to <= from) return;
  const bytes = old.read(start + from, to - from);
  for (let i = 0; i < bytes.length; i++) piece[from + i] = ((piece[from + i] ?? 0) + (bytes[i] ?? 0)) & 0xff;
}
