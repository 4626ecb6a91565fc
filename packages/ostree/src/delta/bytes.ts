import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { corrupt } from '../error.ts';

/** Bytes that can be read anywhere, in memory or in a file. */
export interface ByteSource {
  readonly size: number;
  /** All of it, where it is in memory: for who reads so little at a time that a call is too much. */
  readonly view?: Buffer | undefined;
  /** Exactly `length` bytes; throws `corrupt` for what lies outside. The result may be a view: not to be changed. */
  read(offset: number, length: number): Buffer;
}

function checkRange(size: number, offset: number, length: number): void {
  if (offset < 0 || length < 0 || offset + length > size) throw corrupt(`Invalid offset/length ${offset}/${length}`);
}

export function bufferSource(bytes: Buffer): ByteSource {
  return {
    size: bytes.length,
    view: bytes,
    read(offset, length) {
      checkRange(bytes.length, offset, length);
      return bytes.subarray(offset, offset + length);
    },
  };
}

/** The file behind a descriptor, which stays the caller's to close. */
export function fileSource(fd: number, size: number): ByteSource {
  return {
    size,
    read(offset, length) {
      checkRange(size, offset, length);
      const bytes = Buffer.allocUnsafe(length);
      readInto(fd, bytes, offset);
      return bytes;
    },
  };
}

/** Fills `bytes` from an open file; throws `corrupt` when it ends before. */
export function readInto(fd: number, bytes: Buffer, offset: number): void {
  for (let at = 0; at < bytes.length; ) {
    const got = readSync(fd, bytes, at, bytes.length - at, offset + at);
    if (got === 0) throw corrupt(`Unexpected EOF at ${offset + at}`);
    at += got;
  }
}

/** Memory for one use after another: what was taken before is written over. New memory for each costs more than a copy. */
export class Room {
  #bytes = Buffer.alloc(0);

  take(size: number): Buffer {
    if (this.#bytes.length < size) {
      free(this.#bytes);
      this.#bytes = Buffer.allocUnsafeSlow(Math.max(size, Math.min(2 * this.#bytes.length, 1 << 20)));
    }
    return this.#bytes.subarray(0, size);
  }
}

/** A part of a source, from `start` on. */
export function sliceSource(source: ByteSource, start: number, size: number): ByteSource {
  checkRange(source.size, start, size);
  return {
    size,
    read(offset, length) {
      checkRange(size, offset, length);
      return source.read(start + offset, length);
    },
  };
}

const AHEAD = 1 << 18;

/** A source that is read mostly from front to back in small pieces: it asks for large ones. */
export function readAhead(source: ByteSource): ByteSource {
  let window: Buffer = Buffer.alloc(0);
  let start = 0;
  return {
    size: source.size,
    read(offset, length) {
      if (length >= AHEAD) return source.read(offset, length);
      checkRange(source.size, offset, length);
      if (offset < start || offset + length > start + window.length) {
        // A new window, not the old one's memory: views of that may be in use.
        window = source.read(offset, Math.min(AHEAD, source.size - offset));
        start = offset;
      }
      return window.subarray(offset - start, offset - start + length);
    },
  };
}

/** Above this a spool goes on in a file. */
const MEMORY_LIMIT = 8 << 20;

/** Bytes written once and read anywhere afterwards: in memory while they are few, then in a nameless file. */
export class Spool implements ByteSource, Disposable {
  readonly #folder: string;
  #chunks: Buffer[] = [];
  #whole: Buffer | null = null;
  #fd: number | null = null;
  size = 0;

  /** `folder` is where the file would be. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Takes over `chunk`: the caller must not change it afterwards. */
  write(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#whole = null;
    this.size += chunk.length;
    if (this.#fd === null && this.size > MEMORY_LIMIT) {
      const path = join(this.#folder, `tmp-spool-${randomBytes(6).toString('hex')}`);
      this.#fd = openSync(path, 'wx+', 0o600);
      rmSync(path);
      for (const held of this.#chunks) writeFully(this.#fd, held);
      this.#chunks = [];
    }
    if (this.#fd === null) this.#chunks.push(chunk);
    else writeFully(this.#fd, chunk);
  }

  read(offset: number, length: number): Buffer {
    if (this.#fd !== null) return fileSource(this.#fd, this.size).read(offset, length);
    if (this.#whole === null) {
      this.#whole = this.#chunks.length === 1 ? (this.#chunks[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#chunks);
      this.#chunks = [this.#whole];
    }
    return bufferSource(this.#whole).read(offset, length);
  }

  [Symbol.dispose](): void {
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
    this.#chunks = [];
    this.#whole = null;
    this.size = 0;
  }
}

/**
 * Gives memory back at once; left to the collector, what was large adds up long before it looks. Only for bytes that
 * nobody has a view of any more. What shares its memory with others stays.
 */
export function free({ buffer, byteLength }: ArrayBufferView): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength && byteLength >= 1 << 14) buffer.transfer(0);
}

export function writeFully(fd: number, chunk: Uint8Array): void {
  for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at, chunk.length - at);
}
