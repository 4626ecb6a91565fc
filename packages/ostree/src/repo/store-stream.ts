import { createHash } from 'node:crypto';
import { closeSync, constants, openSync, rmSync } from 'node:fs';
import { corrupt } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import { archiveHeaderBytes, type FileHeader, fileHeaderBytes } from '../objects/file.ts';
import { PieceDeflater } from './deflate.ts';
import type { Stager, Stored } from './stager.ts';
import { finishBareFile, writeFully } from './store-content.ts';
import { adoptWhole } from './store-file.ts';

/** Stages a regular file's content object from a stream of exactly `size` bytes; memory does not grow with it. */
export async function storeStream(
  stager: Stager,
  header: FileHeader,
  source: AsyncIterable<Uint8Array>,
  size: number,
  expected?: Checksum,
): Promise<Stored> {
  const { mode, zlibLevel } = stager.target;
  const archive = mode === 'archive';
  const hasher = createHash('sha256').update(fileHeaderBytes(header));
  const aside = stager.aside();
  let stored: Stored | undefined;
  let seen = 0;
  try {
    const fd = openSync(aside, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
    try {
      if (archive) writeFully(fd, archiveHeaderBytes(header, size));
      const deflater = new PieceDeflater(zlibLevel);
      for await (const piece of archive ? inPieces(source) : source) {
        seen += piece.length;
        if (seen > size) break;
        hasher.update(piece);
        writeFully(fd, archive ? deflater.add(piece) : piece);
      }
      if (seen !== size) throw wrongSize(expected, size);
      if (archive) writeFully(fd, deflater.end());
      finishBareFile(mode, fd, header);
    } finally {
      closeSync(fd);
    }
    const checksum = hasher.digest('hex');
    stored = adoptWhole(stager, aside, { checksum, size }, header, expected);
    return stored;
  } finally {
    if (stored?.isNew !== true) rmSync(aside, { force: true });
  }
}

const PIECE = 1 << 20;

/** Joins small chunks: a compressor that starts anew for each would waste time and space. */
async function* inPieces(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of source) {
    chunks.push(chunk);
    length += chunk.length;
    if (length < PIECE) continue;
    yield joined(chunks, length);
    chunks = [];
    length = 0;
  }
  if (length > 0) yield joined(chunks, length);
}

function joined(chunks: readonly Uint8Array[], length: number): Buffer {
  const [first] = chunks;
  // Most files of an archive lie within one chunk of it: to copy them all would keep the garbage collector busy.
  return chunks.length === 1 && first !== undefined
    ? Buffer.from(first.buffer, first.byteOffset, first.byteLength)
    : Buffer.concat(chunks, length);
}

/** All of a stream of exactly `size` bytes; throws `corrupt` when it has more or fewer. */
export async function gather(
  source: AsyncIterable<Uint8Array>,
  size: number,
  expected: Checksum | undefined,
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let seen = 0;
  for await (const chunk of source) {
    chunks.push(chunk);
    seen += chunk.length;
    if (seen > size) break;
  }
  if (seen !== size) throw wrongSize(expected, size);
  return joined(chunks, size);
}

const wrongSize = (expected: Checksum | undefined, size: number) =>
  corrupt(`content ${expected ?? ''} is not the ${size} bytes it claims`);
