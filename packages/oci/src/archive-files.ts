import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { AtomicError, ByteReader, corrupt, decompressed, pathNames, readTar } from '@atomic/ostree';
import { MAX_JSON } from './source.ts';

/** Files that an image consists of, by their paths. */
export interface ImageFiles extends AsyncDisposable {
  /** What the path has; throws `not-found`. Links are followed. */
  stream(path: string): Promise<{ size: number; bytes: AsyncIterable<Uint8Array> }>;
}

/** A whole small file. Throws `corrupt` for one that is too large, `not-found`. */
export async function readSmall(files: ImageFiles, path: string): Promise<Buffer> {
  const { size, bytes } = await files.stream(path);
  if (size > MAX_JSON) throw corrupt(`${path} of the image is ${size} bytes, larger than any that is in order`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of bytes) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const missing = (path: string, cause?: unknown) =>
  new AtomicError('not-found', `the image has no ${path.replace(/^blobs\/sha256\//, 'sha256:')}`, { cause });

const PIECE = 1 << 18;

/** Files in a folder. */
export class FolderFiles implements ImageFiles {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async stream(path: string): Promise<{ size: number; bytes: AsyncIterable<Uint8Array> }> {
    const full = join(this.#folder, ...pathNames(path));
    try {
      const found = await stat(full);
      if (!found.isFile()) throw corrupt(`${path} of the image is no file`);
      return { size: found.size, bytes: createReadStream(full, { highWaterMark: PIECE }) };
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') throw missing(path, error);
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** More members than an archive of an image has. */
const MAX_MEMBERS = 100_000;

/** Files in a tar archive, read where they lie in it; a packed archive is unpacked to a file of its own first. */
export class ArchiveFiles implements ImageFiles {
  readonly #path: string;
  readonly #scratch: string | undefined;
  readonly #files: ReadonlyMap<string, Member>;

  private constructor(path: string, scratch: string | undefined, files: ReadonlyMap<string, Member>) {
    this.#path = path;
    this.#scratch = scratch;
    this.#files = files;
  }

  /** `scratch`: folder in which to unpack. Throws `not-found`, and `corrupt` for what is no archive. */
  static async open(path: string, options: { scratch?: string | undefined; signal?: AbortSignal | undefined } = {}) {
    const { signal } = options;
    if (await isPlainTar(path)) return new ArchiveFiles(path, undefined, await members(path, signal));
    const scratch = await mkdtemp(join(options.scratch ?? tmpdir(), 'atomic-oci-'));
    try {
      const plain = join(scratch, 'archive');
      await using packed = new ByteReader(createReadStream(path, { highWaterMark: PIECE }));
      await pipeline(await decompressed(packed), createWriteStream(plain), { signal });
      return new ArchiveFiles(plain, scratch, await members(plain, signal));
    } catch (error) {
      await rm(scratch, { recursive: true, force: true });
      throw error;
    }
  }

  has(path: string): boolean {
    return this.#files.has(path);
  }

  async stream(path: string): Promise<{ size: number; bytes: AsyncIterable<Uint8Array> }> {
    const seen = new Set<string>();
    let found = this.#files.get(path);
    for (let at = path; found !== undefined && 'target' in found; found = this.#files.get(at)) {
      if (seen.has(at)) throw corrupt(`${path} of the image is a link to itself`);
      seen.add(at);
      at = found.target;
    }
    if (found === undefined) throw missing(path);
    const { start, size } = found;
    const bytes =
      size === 0 ? empty() : createReadStream(this.#path, { start, end: start + size - 1, highWaterMark: PIECE });
    return { size, bytes };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#scratch !== undefined) await rm(this.#scratch, { recursive: true, force: true });
  }
}

async function* empty(): AsyncGenerator<Uint8Array> {}

type Member = { start: number; size: number } | { target: string };

async function isPlainTar(path: string): Promise<boolean> {
  try {
    await using file = await open(path);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(512), 0, 512, 0);
    return bytesRead === 512 && buffer.toString('latin1', 257, 262) === 'ustar';
  } catch (cause) {
    throw new AtomicError('not-found', `cannot open ${path}: ${cause instanceof Error ? cause.message : ''}`, {
      cause,
    });
  }
}

/** Where members of a plain tar archive lie. */
async function members(path: string, signal: AbortSignal | undefined): Promise<Map<string, Member>> {
  const found = new Map<string, Member>();
  await using reader = new ByteReader(createReadStream(path, { highWaterMark: 1 << 20 }));
  for await (const entry of readTar(reader)) {
    signal?.throwIfAborted();
    const name = pathNames(entry.path).join('/');
    if (entry.type === 'file') found.set(name, { start: reader.position, size: entry.size });
    // Docker wrote a layer that it had written before as a link to that.
    else if (entry.type === 'symlink') found.set(name, { target: resolved(name, entry.target) });
    else if (entry.type === 'hardlink') found.set(name, { target: pathNames(entry.target).join('/') });
    if (found.size > MAX_MEMBERS) throw corrupt(`${path} has more members than an image has`);
  }
  return found;
}

/** A symlink's target among the members; '' when it leads out of the archive. */
function resolved(name: string, target: string): string {
  const names = target.startsWith('/') ? [] : name.split('/').slice(0, -1);
  for (const part of target.split('/')) {
    if (part === '..') {
      if (names.pop() === undefined) return '';
    } else if (part !== '' && part !== '.') names.push(part);
  }
  return names.join('/');
}
