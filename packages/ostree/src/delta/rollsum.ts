import { hash } from 'node:crypto';
import type { ByteSource } from './bytes.ts';

/** A piece of new content: where it is in the old content, or null when it is not there. */
export interface Block {
  to: number;
  length: number;
  from: number | null;
}

const MIN_BLOCK = 2048;
const MAX_BLOCK = 32_768;
/** Blocks of 8 KiB on average beyond the minimum. */
const MASK = 0xfff8_0000;
const WINDOW = 1 << 20;

// A fixed table of random-looking numbers: the rolling hash shifts by one and adds the byte's.
const GEAR = Uint32Array.from({ length: 256 }, (_, i) => {
  let x = Math.imul(i + 1, 0x9e3779b1);
  x = Math.imul(x ^ (x >>> 15), 0x85ebca6b);
  return Math.imul(x ^ (x >>> 13), 0xc2b2ae35) >>> 0;
});

/** Cuts content into blocks where the content itself says so, hence at the same places after an insertion. */
function* blocks(source: ByteSource): Generator<{ at: number; bytes: Buffer }> {
  let window: Buffer = Buffer.alloc(0);
  let at = 0;
  while (at < source.size) {
    if (window.length < Math.min(MAX_BLOCK, source.size - at)) {
      window = source.read(at, Math.min(WINDOW, source.size - at));
    }
    const most = Math.min(MAX_BLOCK, window.length);
    let length = Math.min(MIN_BLOCK, most);
    for (let rolling = 0; length < most; length++) {
      rolling = ((rolling << 1) + (GEAR[window[length] ?? 0] ?? 0)) >>> 0;
      if ((rolling & MASK) === 0) break;
    }
    yield { at, bytes: window.subarray(0, length) };
    at += length;
    window = window.subarray(length);
  }
}

/**
 * Finds blocks of new content in old content, whatever their places; for content too large to be compared byte by byte.
 * Memory is 100 bytes a block, so about 1 % of the old content.
 */
export function matchBlocks(old: ByteSource, next: ByteSource): Block[] {
  const known = new Map<string, number>();
  for (const { at, bytes } of blocks(old)) {
    const key = hash('sha256', bytes, 'base64');
    if (!known.has(key)) known.set(key, at);
  }
  const found: Block[] = [];
  for (const { at, bytes } of blocks(next)) {
    const from = known.get(hash('sha256', bytes, 'base64')) ?? null;
    const last = found.at(-1);
    const joins = last !== undefined && (from === null ? last.from === null : last.from === from - last.length);
    if (joins) last.length += bytes.length;
    else found.push({ to: at, length: bytes.length, from });
  }
  return found;
}
