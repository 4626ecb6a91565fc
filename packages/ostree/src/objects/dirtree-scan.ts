import { isNarrowest, offsetSize } from '../gvariant/type.ts';

/** Is told where in a dirtree's bytes the entries stand. */
export interface DirTreeVisitor {
  /** `at`: its digest, 32 bytes; `name`: its name, which ends with the NUL before that. */
  file(at: number, name: number): void;
  /** `at`: the digest of its tree; its metadata's follows. */
  dir(at: number, name: number): void;
}

/**
 * Goes over both arrays of `(a(say)a(sayay))`, whose parts all stand without padding; false, perhaps after some was told,
 * when the framing is not the one such data has. Names are not looked at.
 */
export function scanDirTree(bytes: Buffer, visitor: DirTreeVisitor): boolean {
  const width = offsetSize(bytes.length);
  const body = bytes.length - width;
  const split = read(bytes, body, width);
  if (split > body || !isNarrowest(body, 1, width)) return false;
  return scanArray(bytes, 0, split, 1, visitor) && scanArray(bytes, split, body, 2, visitor);
}

/** An array whose items are a string and so many digests. */
function scanArray(bytes: Buffer, start: number, end: number, digests: 1 | 2, visitor: DirTreeVisitor): boolean {
  if (start === end) return true;
  const width = offsetSize(end - start);
  const table = start + read(bytes, end - width, width);
  if (table >= end || (end - table) % width !== 0) return false;
  if (!isNarrowest(table - start, (end - table) / width, width)) return false;
  for (let item = start, at = table; at < end; at += width) {
    const next = start + read(bytes, at, width);
    if (next <= item || next > table) return false;
    const inner = offsetSize(next - item);
    // Framing offsets stand at the end, the first one last; the last digest needs none.
    const tail = next - digests * inner;
    const first = item + read(bytes, next - inner, inner);
    if (first <= item || tail - first !== 32 * digests || !isNarrowest(tail - item, digests, inner)) return false;
    if (digests === 2 && item + read(bytes, tail, inner) !== first + 32) return false;
    if (digests === 1) visitor.file(first, item);
    else visitor.dir(first, item);
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
