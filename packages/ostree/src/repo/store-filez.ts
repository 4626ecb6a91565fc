import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  copyFileSync,
  createReadStream,
  existsSync,
  lstatSync,
  openSync,
  readSync,
  rmSync,
} from 'node:fs';
import { Readable } from 'node:stream';
import { createInflateRaw, inflateRawSync } from 'node:zlib';
import { errnoCode } from '@atomic/linux';
import { corrupt } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import { archiveHeaderLength, type FileHeader, fileHeaderBytes, parseArchiveHeader } from '../objects/file.ts';
import { isSymlink } from '../objects/mode.ts';
import type { Stager, Stored } from './stager.ts';
import { checkStorable, finishBareFile, writeFully, writeNew } from './store-content.ts';
import { checkExpected, contentChecksum, placeContent } from './store-file.ts';

/** An archive object (`.filez`): its bytes, or the file that holds them. */
export type FilezBody = Uint8Array | { path: string };

export interface FilezOptions {
  /** Take the checksum on trust. */
  trusted?: boolean | undefined;
  /** Refuse what a bare-user-only repository could not hold (owners and attributes aside), whatever this one's mode. */
  bareUserOnly?: boolean | undefined;
  /** The caller has seen that the object is not here, and nobody else brings it. */
  absent?: boolean | undefined;
}

/** Up to this size, packed and unpacked, an object is handled in one piece. */
const WHOLE_LIMIT = 1 << 22;
/** Room beyond the content, so that zlib sees the end without asking for another buffer. */
const SLACK = 64;

const bufferOf = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

// One buffer for a thread's lifetime: memory that was never touched is dear, above all to virtual machines.
let scratch: Buffer | undefined;

/** A file's bytes, good until the next call; null when they are more than {@link WHOLE_LIMIT}. */
function readPacked(path: string): Buffer | null {
  scratch ??= Buffer.allocUnsafeSlow(WHOLE_LIMIT + 1);
  const fd = openSync(path, constants.O_RDONLY);
  try {
    const length = readSync(fd, scratch, 0, scratch.length, 0);
    return length > WHOLE_LIMIT ? null : scratch.subarray(0, length);
  } finally {
    closeSync(fd);
  }
}

/**
 * Stages a content object that comes as an archive object, verified before it gets its name. An archive repository
 * keeps the bytes as they came. Throws `corrupt`. Large objects take a promise and constant memory.
 */
export function storeFilez(
  stager: Stager,
  body: FilezBody,
  expected: Checksum,
  options: FilezOptions = {},
): Stored | Promise<Stored> {
  if (body instanceof Uint8Array) return storePacked(stager, bufferOf(body), expected, options);
  const { path } = body;
  if (options.trusted && !options.bareUserOnly && stager.target.mode === 'archive')
    return copyFilez(stager, path, expected, options);
  const bytes = readPacked(path);
  return bytes === null
    ? storeFilezStream(stager, createReadStream(path, { highWaterMark: 1 << 18 }), expected, options)
    : storePacked(stager, bytes, expected, options);
}

/** As {@link storeFilez}; null where there is no such file. */
export function tryStoreFilez(
  stager: Stager,
  path: string,
  expected: Checksum,
  options: FilezOptions,
): Stored | Promise<Stored> | null {
  try {
    return storeFilez(stager, { path }, expected, options);
  } catch (error) {
    if (errnoCode(error) === 'ENOENT' && !existsSync(path)) return null;
    throw error;
  }
}

function storePacked(
  stager: Stager,
  bytes: Buffer,
  expected: Checksum,
  options: FilezOptions,
): Stored | Promise<Stored> {
  const where = `object ${expected}.filez`;
  const { header, size, length } = readHeader(bytes, where);
  if (options.bareUserOnly) checkStorable('bare-user-only', expected, header);
  // A copy: what comes later reads into the same memory. A symlink has no content, whatever size it claims.
  if (size > WHOLE_LIMIT && !isSymlink(header.mode))
    return storeFilezStream(stager, Readable.from([Buffer.from(bytes)]), expected, options);
  const content = inflateWhole(bytes.subarray(length), header, size, where);
  if (!options.trusted) checkExpected(contentChecksum(header, content), expected);
  if (stager.target.mode !== 'archive') {
    const stored = placeContent(stager, header, content, expected, options);
    giveBack(content);
    return stored;
  }
  if (!options.absent && stager.has('file', expected)) return { checksum: expected, size, isNew: false };
  giveBack(content);
  stager.place('file', expected, (path) =>
    writeNew(path, (fd) => {
      writeFully(fd, bytes);
      finishBareFile('archive', fd, header);
    }),
  );
  return { checksum: expected, size, isNew: true };
}

/** Frees a buffer that has memory of its own, for the next one to use: until garbage is collected they would pile up. */
function giveBack({ buffer, byteLength }: Buffer): void {
  if (buffer instanceof ArrayBuffer && byteLength >= Buffer.poolSize && buffer.byteLength - byteLength <= SLACK)
    buffer.transfer(0);
}

function readHeader(bytes: Buffer, where: string): ReturnType<typeof parseArchiveHeader> {
  try {
    return parseArchiveHeader(bytes);
  } catch (error) {
    throw corrupt(`Corrupted ${where}: ${error instanceof Error ? error.message : String(error)}`, error);
  }
}

function copyFilez(stager: Stager, from: string, checksum: Checksum, { absent }: FilezOptions): Stored {
  if (!absent && stager.has('file', checksum)) return { checksum, size: 0, isNew: false };
  let size = 0;
  stager.place('file', checksum, (path) => {
    copyFileSync(from, path, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
    size = lstatSync(path).size;
  });
  return { checksum, size, isNew: true };
}

/** As {@link storeFilez}, for bytes still on their way; memory stays constant. */
export async function storeFilezStream(
  stager: Stager,
  source: AsyncIterable<Uint8Array>,
  expected: Checksum,
  options: FilezOptions = {},
): Promise<Stored> {
  const where = `object ${expected}.filez`;
  const { mode } = stager.target;
  const iterator = source[Symbol.asyncIterator]();
  let aside: string | null = null;
  try {
    let start: Buffer = Buffer.alloc(0);
    let ended = false;
    while (!ended && (start.length < 8 || start.length < archiveHeaderLength(start))) {
      const next = await iterator.next();
      if (next.done) ended = true;
      else start = Buffer.concat([start, next.value]);
    }
    if (ended) throw corrupt(`Corrupted ${where}: cut short`);
    const { header, size, length } = readHeader(start, where);
    if (isSymlink(header.mode)) return await storeFilez(stager, start, expected, options);
    if (options.bareUserOnly) checkStorable('bare-user-only', expected, header);
    const hasher = options.trusted ? null : createHash('sha256').update(fileHeaderBytes(header));
    const path = stager.aside();
    aside = path;
    const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
    try {
      async function* packed(): AsyncGenerator<Uint8Array> {
        if (mode === 'archive') writeFully(fd, start);
        yield start.subarray(length);
        for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
          if (mode === 'archive') writeFully(fd, next.value);
          yield next.value;
        }
      }
      const inflate = createInflateRaw({ chunkSize: 1 << 18 });
      const input = Readable.from(packed(), { objectMode: false });
      input.on('error', (error) => inflate.destroy(error));
      let seen = 0;
      for await (const chunk of translateZlib(input.pipe(inflate), where)) {
        seen += chunk.length;
        if (seen > size) break;
        hasher?.update(chunk);
        if (mode !== 'archive') writeFully(fd, chunk);
      }
      if (seen !== size) throw corrupt(`Corrupted ${where}: its content is not the ${size} bytes it claims`);
      if (hasher !== null) checkExpected(hasher.digest('hex'), expected);
      checkStorable(mode, expected, header);
      finishBareFile(mode, fd, header);
    } finally {
      closeSync(fd);
    }
    if (stager.has('file', expected)) return { checksum: expected, size, isNew: false };
    stager.adopt('file', expected, path);
    aside = null;
    return { checksum: expected, size, isNew: true };
  } finally {
    if (aside !== null) rmSync(aside, { force: true });
    await iterator.return?.();
  }
}

function inflateWhole(packed: Buffer, header: FileHeader, size: number, where: string): Buffer {
  if (isSymlink(header.mode)) {
    if (size !== 0) throw corrupt(`Corrupted ${where}: a symlink with content`);
    return Buffer.alloc(0);
  }
  let content: Buffer;
  try {
    // One piece of the right size: by default it would gather many small ones and copy them together.
    content = inflateRawSync(packed, { chunkSize: size + SLACK, maxOutputLength: Math.max(size, 1) });
  } catch (error) {
    throw corrupt(`Corrupted ${where}: ${error instanceof Error ? error.message : String(error)}`, error);
  }
  if (content.length !== size) throw corrupt(`Corrupted ${where}: ${content.length} bytes instead of ${size}`);
  return content;
}

async function* translateZlib(source: AsyncIterable<Uint8Array>, where: string): AsyncGenerator<Uint8Array> {
  try {
    yield* source;
  } catch (error) {
    if (errnoCode(error)?.startsWith('Z_'))
      throw corrupt(`Corrupted ${where}: ${error instanceof Error ? error.message : ''}`, error);
    throw error;
  }
}
