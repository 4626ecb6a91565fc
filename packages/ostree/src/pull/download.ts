import {
  closeSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { AtomicError } from '../error.ts';
import type { BodyPool, Lent } from './body-pool.ts';

/** Bodies above this go to a file, so that a cut connection (or a killed pull) costs only what is missing. */
const defaultSpillBytes = 512 * 1024;

export interface DownloadOptions {
  /** Folder for the partial file. */
  dir: string;
  /** File name of the partial; the same name in a later run continues it. */
  name: string;
  /** Continue what an earlier run left, and leave what this one could not finish. */
  keep: boolean;
  /** An earlier run's partial file is known to be there. */
  existing: boolean;
  spillBytes?: number | undefined;
  /** Where memory for small bodies comes from. */
  pool?: BodyPool | undefined;
}

/**
 * The bytes of one object while they come in: in memory while few, in a partial file beyond. It knows how far it got
 * and which version of the resource that was, which is what a Range request needs.
 */
export class Download {
  readonly #path: string;
  readonly #keep: boolean;
  readonly #spillBytes: number;
  #chunks: Buffer[] = [];
  /** Room for the whole body, where its length was said and is small. */
  #whole: Lent | null = null;
  readonly #pool: BodyPool | undefined;
  #fd: number | null = null;
  size = 0;
  /** The first bytes, at most 16: enough to know how long an archive object may be. */
  head: Buffer = Buffer.alloc(0);
  /** Strong ETag or Last-Modified of what has been received, for If-Range. */
  validator: string | undefined;
  /** Some of the bytes are from an earlier response, so a bad checksum may be a bad splice. */
  spliced = false;

  constructor(options: DownloadOptions) {
    this.#path = join(options.dir, options.name);
    this.#keep = options.keep;
    this.#spillBytes = options.spillBytes ?? defaultSpillBytes;
    this.#pool = options.pool;
    if (!options.existing || !options.keep) return;
    try {
      this.#fd = openSync(this.#path, 'a+', 0o600);
      const head = Buffer.alloc(16);
      this.head = head.subarray(0, readSync(this.#fd, head, 0, 16, 0));
      this.size = statSync(this.#path).size;
      this.validator = readFileSync(`${this.#path}.validator`, 'utf8') || undefined;
    } catch {
      // Without the validator file nobody knows what the partial is a part of.
      this.reset();
    }
  }

  /** Forgets everything: the next response starts at byte 0. */
  reset(): void {
    this.#close();
    rmSync(this.#path, { force: true });
    rmSync(`${this.#path}.validator`, { force: true });
    this.#drop();
    this.size = 0;
    this.head = Buffer.alloc(0);
    this.validator = undefined;
    this.spliced = false;
  }

  /** A response begins at byte 0. `length` is what it says it has, NaN when it does not say. */
  begin(validator: string | undefined, length: number): void {
    this.validator = validator;
    if (length > this.#spillBytes) this.#spill();
    else if (length >= 0) {
      this.#drop();
      this.#whole = this.#pool?.take(length) ?? { bytes: Buffer.allocUnsafe(length), release: () => {} };
    }
  }

  /** Takes the next bytes; the chunk is copied. */
  write(chunk: Buffer): void {
    const size = this.size + chunk.length;
    if (this.#fd === null && size > this.#spillBytes) this.#spill();
    if (this.#fd !== null) this.#append(chunk);
    else if (this.#whole !== null && size <= this.#whole.bytes.length) chunk.copy(this.#whole.bytes, this.size);
    else this.#chunks.push(Buffer.from(chunk));
    if (this.head.length < 16) this.head = Buffer.concat([this.head, chunk.subarray(0, 16)]).subarray(0, 16);
    this.size = size;
  }

  #spill(): void {
    // The validator is written first: a partial without one is thrown away, so a crash between the two is harmless.
    writeFileSync(`${this.#path}.validator`, this.validator ?? '', { mode: 0o600 });
    this.#fd = openSync(this.#path, 'w', 0o600);
    if (this.#whole !== null) this.#append(this.#whole.bytes.subarray(0, this.size));
    for (const chunk of this.#chunks) this.#append(chunk);
    this.#drop();
  }

  #drop(): void {
    this.#whole?.release();
    this.#whole = null;
    this.#chunks = [];
  }

  #append(chunk: Buffer): void {
    if (this.#fd === null) return;
    try {
      for (let done = 0; done < chunk.length; ) done += writeSync(this.#fd, chunk, done);
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error;
      this.reset(); // give the space back
      throw new AtomicError('no-space', `no space left for ${this.#path}`, {
        hint: 'free some space and run the pull again; objects already fetched are kept',
        cause: error,
      });
    }
  }

  /** What has come: the bytes while they are few, else the file that holds them. */
  body(): Buffer | { path: string; size: number } {
    if (this.#fd !== null) return { path: this.#path, size: this.size };
    if (this.#whole !== null) return this.#whole.bytes.subarray(0, this.size);
    return Buffer.concat(this.#chunks, this.size);
  }

  /** The bytes are stored elsewhere, or not wanted. */
  discard(): void {
    if (this.#fd !== null) this.reset();
    this.#drop();
  }

  /** The download did not end: keeps the partial file for the next run, if there is one and it may be kept. */
  suspend(): void {
    this.#drop();
    if (this.#fd === null) return;
    if (this.#keep) {
      this.#close();
      const now = new Date();
      utimesSync(this.#path, now, now);
    } else this.reset();
  }

  #close(): void {
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
  }
}
