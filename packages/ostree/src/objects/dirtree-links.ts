import { corrupt } from '../error.ts';
import { offsetSize } from '../gvariant/type.ts';
import { parseDirTree } from './dirtree.ts';

/** Is told where in a dirtree's bytes the digests of what it refers to stand, 32 bytes each. */
export interface DirTreeVisitor {
  file(at: number): void;
  /** A directory's tree; its metadata's digest follows it. */
  dir(at: number): void;
}

/**
 * Tells a visitor what a dirtree refers to, without its names: all that reachability needs, at a fraction of the cost of
 * {@link parseDirTree}. What does not look as it should throws `corrupt`, perhaps after some of it was told.
 */
export function visitDirTree(bytes: Buffer, visitor: DirTreeVisitor): void {
  if (scan(bytes, visitor)) return;
  parseDirTree(bytes);
  throw corrupt('a dirtree is not framed as it should be');
}

/** Goes over both arrays of `(a(say)a(sayay))`; false when the framing is not that of such data. */
function scan(bytes: Buffer, visitor: DirTreeVisitor): boolean {
  const width = offsetSize(bytes.length);
  const body = bytes.length - width;
  const split = read(bytes, body, width);
  return split <= body && scanArray(bytes, 0, split, 1, visitor) && scanArray(bytes, split, body, 2, visitor);
}

/** An array whose items are a string and so many digests. */
function scanArray(bytes: Buffer, start: number, end: number, digests: 1 | 2, visitor: DirTreeVisitor): boolean {
  if (start === end) return true;
  const width = offsetSize(end - start);
  const table = start + read(bytes, end - width, width);
  if (table >= end || (end - table) % width !== 0) return false;
  for (let item = start, at = table; at < end; at += width) {
    const next = start + read(bytes, at, width);
    if (next <= item || next > table) return false;
    const inner = offsetSize(next - item);
    // Framing offsets stand at the end, the first one last; the last digest needs none.
    const tail = next - digests * inner;
    const first = item + read(bytes, next - inner, inner);
    if (first <= item || tail - first !== 32 * digests) return false;
    if (digests === 2 && item + read(bytes, tail, inner) !== first + 32) return false;
    if (digests === 1) visitor.file(first);
    else visitor.dir(first);
    item = next;
  }
  return true;
}

/** An offset, or one beyond any data where there is none. */
function read(bytes: Buffer, at: number, width: number): number {
  if (at < 0) return Number.MAX_SAFE_INTEGER;
  if (width === 1) return bytes[at] ?? Number.MAX_SAFE_INTEGER;
  return width === 0 ? Number.MAX_SAFE_INTEGER : bytes.readUIntLE(at, width);
}
