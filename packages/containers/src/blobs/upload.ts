import { createHash, type Hash, randomUUID } from 'node:crypto';
import { closeSync, createReadStream, lstatSync, mkdirSync, openSync, readdirSync, rmSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { FileLock } from '@atomic/linux';
import { AtomicError, type Checksum, corrupt, fileHeaderBytes, freeBytes, type Repo } from '@atomic/ostree';
import { BLOB_HEADER } from './blob-commit.ts';
import { parseDigest } from './digest.ts';

/** So much is gathered before it is written, while as much is on its way to the disk. */
const BATCH = 1 << 18;
/** How often the disk is asked whether it has room. */
const SPACE_STEP = 64 << 20;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export interface AppendOptions {
  /** Bytes the whole blob may have; throws `invalid` beyond. */
  limit?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** What has been counted over the first `size` bytes of an upload. */
class Tally {
  readonly blob = createHash('sha256');
  /** What the store will call the content. */
  readonly content = createHash('sha256').update(fileHeaderBytes(BLOB_HEADER));
  size = 0;

  add(chunk: Uint8Array): void {
    this.blob.update(chunk);
    this.content.update(chunk);
    this.size += chunk.length;
  }
}

/**
 * A blob that is arriving, in a file of the repository's file system. Nobody sees it as a blob; it outlives the process
 * that began it, and goes on from the bytes that are there. Locked while it is open: close it by disposing.
 */
export class Upload implements Disposable {
  readonly id: string;
  readonly path: string;
  readonly #lock: FileLock;
  readonly #tallies: Map<string, Tally>;
  readonly #repo: Repo;
  #size: number;

  constructor(id: string, path: string, lock: FileLock, tallies: Map<string, Tally>, repo: Repo) {
    this.id = id;
    this.path = path;
    this.#lock = lock;
    this.#tallies = tallies;
    this.#repo = repo;
    this.#size = lstatSync(path).size;
  }

  /** Bytes that have arrived. */
  get size(): number {
    return this.#size;
  }

  /**
   * Writes more at the end. What arrived before `source` failed stays, so that one can go on from there. Throws `exists`
   * when it had ended and became a blob, or was about to: the store's object would change with it.
   */
  async append(source: AsyncIterable<Uint8Array>, { limit, signal }: AppendOptions = {}): Promise<void> {
    const tally = this.#tally();
    const file = await open(this.path, 'a');
    let pending: Promise<unknown> = Promise.resolve();
    let batch: Uint8Array[] = [];
    let length = 0;
    let checked = -SPACE_STEP;
    const flush = async (): Promise<void> => {
      await pending;
      const [full, bytes] = [batch, length];
      batch = [];
      length = 0;
      if (bytes === 0) return;
      if (lstatSync(this.path).nlink > 1)
        throw new AtomicError('exists', `all of the upload ${this.id} has come already; only its digest is awaited`);
      if (this.#size - checked >= SPACE_STEP) {
        if (freeBytes(this.#repo) < bytes) throw new AtomicError('no-space', 'the disk of the store is full');
        checked = this.#size;
      }
      this.#size += bytes;
      pending = writeAll(file, full);
      // Failures are met by whoever awaits it next.
      pending.catch(() => {});
    };
    try {
      for await (const chunk of source) {
        signal?.throwIfAborted();
        if (limit !== undefined && this.#size + length + chunk.length > limit)
          throw new AtomicError('invalid', `the blob has more than ${limit} bytes, which is the most allowed`);
        tally?.add(chunk);
        batch.push(chunk);
        length += chunk.length;
        if (length >= BATCH) await flush();
      }
    } finally {
      try {
        await flush();
        await pending;
      } finally {
        await file.close();
        this.#size = lstatSync(this.path).size;
        if (tally?.size !== this.#size) this.#tallies.delete(this.path);
      }
    }
  }

  /** The tally that covers all that is there, or undefined: then everything is counted at the end. */
  #tally(): Tally | undefined {
    let tally = this.#tallies.get(this.path);
    if (tally === undefined && this.#size === 0) tally = new Tally();
    if (tally?.size !== this.#size) return undefined;
    this.#tallies.delete(this.path);
    this.#tallies.set(this.path, tally);
    for (const oldest of this.#tallies.keys()) {
      if (this.#tallies.size <= MAX_TALLIES) break;
      this.#tallies.delete(oldest);
    }
    return tally;
  }

  /**
   * Holds the whole upload against its digest; returns the checksum its content has in the store. Throws `corrupt`, and
   * keeps the upload. Nothing may be appended after this.
   */
  async verify(digest: string, size?: number): Promise<{ checksum: Checksum; size: number }> {
    const { algorithm, hex } = parseDigest(digest);
    if (size !== undefined && size !== this.#size)
      throw corrupt(`the blob has ${this.#size} bytes instead of ${size}: ${digest}`);
    const known = this.#tally();
    this.#tallies.delete(this.path);
    const tally = known ?? new Tally();
    const other: Hash | undefined = algorithm === 'sha512' ? createHash('sha512') : undefined;
    if (known === undefined || other !== undefined) {
      for await (const chunk of createReadStream(this.path, { highWaterMark: 1 << 20 })) {
        if (known === undefined) tally.add(chunk);
        other?.update(chunk);
      }
    }
    const actual = (other ?? tally.blob).digest('hex');
    if (actual !== hex) throw corrupt(`the blob's digest is ${algorithm}:${actual} instead of ${digest}`);
    return { checksum: tally.content.digest('hex'), size: this.#size };
  }

  /** Gives it up. */
  remove(): void {
    this.#tallies.delete(this.path);
    rmSync(this.path, { force: true });
  }

  [Symbol.dispose](): void {
    this.#lock[Symbol.dispose]();
  }
}

/** Hash states that are kept between the requests of uploads; beyond, files are read again. */
const MAX_TALLIES = 256;

async function writeAll(file: FileHandle, chunks: Uint8Array[]): Promise<void> {
  const total = chunks.reduce((sum, { length }) => sum + length, 0);
  const { bytesWritten } = await file.writev(chunks);
  if (bytesWritten === total) return;
  let skip = bytesWritten;
  for (const chunk of chunks) {
    const rest = chunk.subarray(Math.min(skip, chunk.length));
    skip -= chunk.length - rest.length;
    if (rest.length > 0) await file.appendFile(rest);
  }
}

/** The uploads of a repository: `extensions/atomic/uploads`, where `prune` and stock tools do not look. */
export class Uploads {
  readonly #repo: Repo;
  readonly #folder: string;
  readonly #tallies = new Map<string, Tally>();

  constructor(repo: Repo) {
    this.#repo = repo;
    this.#folder = join(repo.path, 'extensions/atomic/uploads');
  }

  /** Begins an upload that only `owner` (a repository's name, say) will find again. */
  create(owner: string): Upload {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const id = randomUUID();
    const path = this.#path(owner, id);
    closeSync(openSync(path, 'wx', 0o600));
    const upload = this.open(owner, id);
    if (upload === undefined) throw new AtomicError('failed', `the new upload ${path} is gone`);
    return upload;
  }

  /** An upload that was begun; undefined when there is none. Throws `locked` while another request or process has it open. */
  open(owner: string, id: string): Upload | undefined {
    if (!UUID.test(id)) return undefined;
    const path = this.#path(owner, id);
    if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return undefined;
    const lock = FileLock.tryAcquire(path, 'exclusive');
    if (lock === null) throw new AtomicError('locked', `the upload ${id} is being written`);
    if (lstatSync(path, { throwIfNoEntry: false })?.size !== undefined && lock.current)
      return new Upload(id, path, lock, this.#tallies, this.#repo);
    lock[Symbol.dispose]();
    return undefined;
  }

  #path(owner: string, id: string): string {
    return join(this.#folder, `${createHash('sha256').update(owner).digest('hex').slice(0, 16)}-${id}`);
  }

  /** How many there are. */
  get count(): number {
    return this.#names().length;
  }

  #names(): string[] {
    try {
      return readdirSync(this.#folder);
    } catch {
      return [];
    }
  }

  /** Removes uploads nobody has written to for so many milliseconds; how many there were, and their bytes. */
  expire(age: number, dryRun = false): { removed: number; bytes: number } {
    const result = { removed: 0, bytes: 0 };
    for (const name of this.#names()) {
      const path = join(this.#folder, name);
      const stat = lstatSync(path, { throwIfNoEntry: false });
      if (stat === undefined || Date.now() - stat.mtimeMs < age) continue;
      using lock = FileLock.tryAcquire(path, 'exclusive');
      if (lock === null) continue;
      if (!dryRun) rmSync(path, { force: true });
      result.removed++;
      result.bytes += stat.size;
    }
    return result;
  }
}
