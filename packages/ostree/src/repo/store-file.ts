import { createHash, hash } from 'node:crypto';
import {
  closeSync,
  constants,
  fchmodSync,
  linkSync,
  openSync,
  readlinkSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { readXattrs, type Xattr } from '@atomic/linux';
import { corrupt } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import { archiveHeaderBytes, type FileHeader, fileHeaderBytes } from '../objects/file.ts';
import { isSymlink } from '../objects/mode.ts';
import { deflateWhole, PieceDeflater } from './deflate.ts';
import type { Stager, Stored } from './stager.ts';
import { checkStorable, finishBareFile, writeBareObject, writeFully, writeNew } from './store-content.ts';

/** A regular file or symlink on disk that is to become a content object. */
export interface FileToStore {
  path: string;
  uid: number;
  gid: number;
  /** With the type bits; `path` is a symlink if and only if they say so. */
  mode: number;
  /** Bytes, as last seen: what is there when the file is read counts. */
  size: number;
  /** Extended attributes the object gets. */
  xattrs: Xattr[];
  /** Whether those on disk go in as well; of one name `xattrs` wins. */
  readXattrs: boolean;
  /** Make the file itself the object, by hard link: it is to go from where it is, and is as the object has to be. */
  adopt?: boolean | undefined;
}

/** Up to this size content is handled in one piece. */
export const WHOLE_LIMIT = 1 << 20;
const HEADER_ROOM = 128 * 1024;
const PIECE = 1 << 22;

// One buffer for a thread's lifetime: reading 100,000 files leaves nothing for the garbage collector.
let scratchBuffer: Buffer | undefined;
let pieceBuffer: Buffer | undefined;
function scratch(): Buffer {
  scratchBuffer ??= Buffer.allocUnsafeSlow(HEADER_ROOM + WHOLE_LIMIT + 1);
  return scratchBuffer;
}

/** Throws `corrupt` when a content object is not the one that was asked for. */
export function checkExpected(checksum: Checksum, expected: Checksum | undefined): void {
  if (expected !== undefined && checksum !== expected) {
    throw corrupt(`Corrupted file object; checksum expected='${expected}' actual='${checksum}'`);
  }
}

/** SHA-256 of a content object given whole. */
export function contentChecksum(header: FileHeader, content: Uint8Array): Checksum {
  const start = fileHeaderBytes(header);
  if (isSymlink(header.mode) || content.length === 0) return hash('sha256', start, 'hex');
  return createHash('sha256').update(start).update(content).digest('hex');
}

/** Stages a content object from bytes in memory; its checksum is checked against `expected`. */
export function storeContent(stager: Stager, header: FileHeader, content: Uint8Array, expected?: Checksum): Stored {
  const checksum = contentChecksum(header, content);
  checkExpected(checksum, expected);
  return placeContent(stager, header, content, checksum);
}

/** Stages a content object whose checksum is known to be right; `absent`: and which is known not to be here. */
export function placeContent(
  stager: Stager,
  header: FileHeader,
  content: Uint8Array,
  checksum: Checksum,
  { absent }: { absent?: boolean | undefined } = {},
): Stored {
  const size = isSymlink(header.mode) ? 0 : content.length;
  if (!absent && stager.has('file', checksum)) return { checksum, size, isNew: false };
  const { mode, zlibLevel } = stager.target;
  checkStorable(mode, checksum, header);
  stager.place('file', checksum, (path) => {
    if (mode !== 'archive') writeBareObject(mode, path, header, content);
    else
      writeNew(path, (fd) => {
        const start = archiveHeaderBytes(header, size);
        writeFully(fd, isSymlink(header.mode) ? start : Buffer.concat([start, deflateWhole(content, zlibLevel)]));
        finishBareFile(mode, fd, header);
      });
  });
  return { checksum, size, isNew: true };
}

/** Reads, hashes and stages a file or symlink from disk. Throws the system's error when it cannot be read. */
export function storeFile(stager: Stager, file: FileToStore): Stored {
  if (isSymlink(file.mode)) {
    const header = { ...headerOf(file, file.path), target: readlinkSync(file.path) };
    return storeContent(stager, header, Buffer.alloc(0));
  }
  // Not blocking: what was a file a moment ago may be a fifo now.
  const fd = openSync(file.path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const header = headerOf(file, fd);
    if (file.adopt) return adoptFile(stager, fd, header, file);
    const start = fileHeaderBytes(header);
    if (file.size > WHOLE_LIMIT || start.length > HEADER_ROOM) return storeLarge(stager, fd, header, file.size);
    const buffer = scratch();
    buffer.set(start);
    let end = start.length;
    // One byte more than expected: a short answer is the end of the file, without another call to see it.
    for (let want = file.size + 1; ; want = WHOLE_LIMIT + 1 - (end - start.length)) {
      const got = readSync(fd, buffer, end, want, null);
      end += got;
      if (got < want) break;
      if (end - start.length > WHOLE_LIMIT) return storeLarge(stager, fd, header, end - start.length);
    }
    return placeContent(
      stager,
      header,
      buffer.subarray(start.length, end),
      hash('sha256', buffer.subarray(0, end), 'hex'),
    );
  } finally {
    closeSync(fd);
  }
}

function headerOf(file: FileToStore, target: string | number): FileHeader {
  let { xattrs } = file;
  if (file.readXattrs) {
    const given = xattrs;
    const found = readXattrs(target);
    xattrs =
      given.length === 0
        ? found
        : [...given, ...found.filter(({ name }) => !given.some((one) => one.name.equals(name)))];
  }
  return { uid: file.uid, gid: file.gid, mode: file.mode, target: '', xattrs };
}

function adoptFile(stager: Stager, fd: number, header: FileHeader, file: FileToStore): Stored {
  const hasher = createHash('sha256').update(fileHeaderBytes(header));
  const size = forEachPiece(fd, (piece) => hasher.update(piece));
  const checksum = hasher.digest('hex');
  if (stager.has('file', checksum)) return { checksum, size, isNew: false };
  checkStorable(stager.target.mode, checksum, header);
  if (stager.target.mode === 'bare-user-only') fchmodSync(fd, header.mode & 0o755);
  stager.place('file', checksum, (path) => linkSync(file.path, path));
  return { checksum, size, isNew: true };
}

/**
 * Stages a content object from an open plain file, in pieces, so that memory does not grow with the file. `claimed` is
 * the size it is believed to have.
 */
export function storeLarge(
  stager: Stager,
  fd: number,
  header: FileHeader,
  claimed: number,
  expected?: Checksum | undefined,
): Stored {
  const { mode, zlibLevel } = stager.target;
  const archive = mode === 'archive';
  const hasher = createHash('sha256').update(fileHeaderBytes(header));
  const aside = stager.aside();
  let stored: Stored | undefined;
  let size = 0;
  try {
    writeNew(aside, (out) => {
      if (archive) writeFully(out, archiveHeaderBytes(header, claimed));
      const deflater = new PieceDeflater(zlibLevel);
      size = forEachPiece(fd, (piece) => {
        hasher.update(piece);
        writeFully(out, archive ? deflater.add(piece) : piece);
      });
      if (archive) {
        writeFully(out, deflater.end());
        // The length stands before the content in an archive object.
        if (size !== claimed) writeSync(out, archiveHeaderBytes(header, size), 0, null, 0);
      }
      finishBareFile(mode, out, header);
    });
    const checksum = hasher.digest('hex');
    stored = adoptWhole(stager, aside, { checksum, size }, header, expected);
    return stored;
  } finally {
    if (stored?.isNew !== true) rmSync(aside, { force: true });
  }
}

/** Gives the file written at `aside` its name once its checksum holds; the caller removes it unless it became the object. */
export function adoptWhole(
  stager: Stager,
  aside: string,
  { checksum, size }: { checksum: Checksum; size: number },
  header: FileHeader,
  expected: Checksum | undefined,
): Stored {
  checkExpected(checksum, expected);
  if (stager.has('file', checksum)) return { checksum, size, isNew: false };
  checkStorable(stager.target.mode, checksum, header);
  if (stager.linkTwin(checksum)) rmSync(aside);
  else stager.adopt('file', checksum, aside);
  return { checksum, size, isNew: true };
}

/** Reads an open file from its start, 4 MiB at a time; `use` must be done with a piece when it returns. Returns the bytes read. */
export function forEachPiece(fd: number, use: (piece: Buffer) => void): number {
  pieceBuffer ??= Buffer.allocUnsafeSlow(PIECE);
  const buffer = pieceBuffer;
  for (let position = 0; ; ) {
    let filled = 0;
    while (filled < PIECE) {
      const got = readSync(fd, buffer, filled, PIECE - filled, position + filled);
      if (got === 0) break;
      filled += got;
    }
    if (filled > 0) use(buffer.subarray(0, filled));
    position += filled;
    if (filled < PIECE) return position;
  }
}
