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

/** How much of a patch is looked at together: the stretches of a program are short. */
const WINDOW = 1 << 18;
/** Below this a copy by hand is faster than a call. */
const SHORT = 64;

/**
 * Makes the new content of a bsdiff stream (mendsley's form, which is not packed: triples of lengths to add, to insert
 * and to seek, each followed by its bytes), piece by piece in bounded memory. Every number is checked; throws `corrupt`.
 * `room`, of the size of the new content, is where it is made in one piece.
 */
export function* bspatch(old: ByteSource, patch: ByteSource, newSize: number, room?: Buffer): Generator<Buffer> {
  let at = 0;
  let made = 0;
  let oldAt = 0;
  let left = newSize;
  let out = room ?? Buffer.allocUnsafeSlow(Math.min(PIECE, left));
  let filled = 0;
  let window = patch.read(0, Math.min(WINDOW, patch.size));
  let start = 0;
  const look = (length: number): void => {
    if (at + length <= start + window.length) return;
    window = patch.read(at, Math.min(WINDOW, patch.size - at));
    start = at;
  };
  while (made < newSize) {
    if (at + TRIPLE > patch.size) throw failed();
    look(TRIPLE);
    const add = offtin(window, at - start);
    const insert = offtin(window, at - start + 8);
    const seek = offtin(window, at - start + 16);
    at += TRIPLE;
    if (add < 0 || insert < 0 || made + add + insert > newSize || at + add + insert > patch.size) throw failed();
    for (let done = 0; done < add + insert; ) {
      look(1);
      const from = at - start;
      const whole = done < add ? add - done : add + insert - done;
      const length = Math.min(whole, window.length - from, out.length - filled);
      copy(window, from, out, filled, length);
      if (done < add) addOld(out, filled, length, old, oldAt + done);
      done += length;
      at += length;
      filled += length;
      if (filled < out.length) continue;
      yield out;
      left -= filled;
      filled = 0;
      if (left > 0) out = Buffer.allocUnsafeSlow(Math.min(PIECE, left));
    }
    made += add + insert;
    oldAt += add + seek;
    if (!Number.isSafeInteger(oldAt)) throw failed();
  }
}

function copy(source: Buffer, from: number, target: Buffer, at: number, length: number): void {
  if (length > SHORT) source.copy(target, at, from, from + length);
  else for (let i = 0; i < length; i++) target[at + i] = source[from + i] ?? 0;
}

/** Adds old bytes, from `start` on, to a stretch of new ones, where there are any at those places. */
function addOld(target: Buffer, at: number, length: number, old: ByteSource, start: number): void {
  const from = Math.max(0, -start);
  const to = Math.min(length, old.size - start);
  if (to <= from) return;
  const bytes = old.view ?? old.read(start + from, to - from);
  const first = old.view === undefined ? -from : start;
  // An array of bytes keeps the low eight bits.
  for (let i = from; i < to; i++) target[at + i] = (target[at + i] ?? 0) + (bytes[first + i] ?? 0);
}
