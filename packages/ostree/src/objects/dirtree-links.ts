import { offsetSize } from '../gvariant/type.ts';
import type { Checksum } from './checksum.ts';
import { parseDirTree } from './dirtree.ts';

/** Is told of what a dirtree refers to. */
export interface DirTreeVisitor {
  file(checksum: Checksum): void;
  dir(tree: Checksum, meta: Checksum): void;
}

/**
 * Tells a visitor what a dirtree refers to, without its names: all that reachability needs, at a fraction of the cost of
 * {@link parseDirTree}. What does not look as it should is left to that: throws `corrupt` as it does.
 */
export function visitDirTree(bytes: Buffer, visitor: DirTreeVisitor): void {
  if (scan(bytes, null) && scan(bytes, visitor)) return;
  const { files, dirs } = parseDirTree(bytes);
  for (const { checksum } of files) visitor.file(checksum);
  for (const { tree, meta } of dirs) visitor.dir(tree, meta);
}

/** Goes over both arrays of `(a(say)a(sayay))`; false when the framing is not that of such data. */
function scan(bytes: Buffer, visitor: DirTreeVisitor | null): boolean {
  const width = offsetSize(bytes.length);
  const body = bytes.length - width;
  const split = read(bytes, body, width);
  return split <= body && scanArray(bytes, 0, split, 1, visitor) && scanArray(bytes, split, body, 2, visitor);
}

/** An array whose items are a string and so many digests. */
function scanArray(bytes: Buffer, start: number, end: number, digests: 1 | 2, visitor: DirTreeVisitor | null): boolean {
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
    if (visitor !== null) {
      if (digests === 1) visitor.file(bytes.toString('hex', first, first + 32));
      else visitor.dir(bytes.toString('hex', first, first + 32), bytes.toString('hex', first + 32, first + 64));
    }
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
