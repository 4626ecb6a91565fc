import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import {
  AtomicError,
  type BeginOptions,
  type Checksum,
  checksumBytes,
  corrupt,
  fileHeaderBytes,
  type Repo,
  readRefFolder,
  refTime,
  touchRef,
} from '@atomic/ostree';
import { BLOB_HEADER, readBlobCommit, type StoredBlob, writeBlobCommit } from './blob-commit.ts';
import { cut } from './cut.ts';
import { type DigestAlgorithm, parseDigest } from './digest.ts';
import { type Upload, Uploads } from './upload.ts';

/** Below it lie the refs of the blobs that belong to the machine's image store: `ALGORITHM/HEX`. */
export const BLOB_REFS = 'container/blob';

export interface PutOptions {
  /** Bytes the blob is to have. */
  size?: number | undefined;
  mediaType?: string | undefined;
  /** The most it may have; throws `invalid` beyond. */
  limit?: number | undefined;
  signal?: AbortSignal | undefined;
  wait?: boolean | undefined;
}

/** Bytes of a blob: from `start`, up to and without `end`. */
export interface BlobRange {
  start?: number | undefined;
  end?: number | undefined;
}

/** How many commits of blobs are remembered; they never change. */
const MAX_KNOWN = 10_000;

/**
 * Blobs by their digest, in an ostree repository: each the one file of a commit, at a ref `PREFIX/ALGORITHM/HEX`. What
 * the repository does for its trees it does for them: fsck finds damage, prune removes what no ref keeps, the same bytes
 * are there once, and a blob is either whole and flushed to the disk or not there.
 */
export class BlobStore {
  readonly repo: Repo;
  readonly prefix: string;
  readonly uploads: Uploads;
  readonly #known: Map<Checksum, StoredBlob>;

  constructor(repo: Repo, prefix: string = BLOB_REFS, like?: BlobStore) {
    this.repo = repo;
    this.prefix = prefix;
    this.uploads = like?.uploads ?? new Uploads(repo);
    this.#known = like === undefined ? new Map() : like.#known;
  }

  /** The blobs below another prefix of the same repository. */
  under(prefix: string): BlobStore {
    return new BlobStore(this.repo, prefix, this);
  }

  /** The ref of a blob, there or not; throws `invalid` for what is no digest. */
  ref(digest: string): string {
    const { algorithm, hex } = parseDigest(digest);
    return `${this.prefix}/${algorithm}/${hex}`;
  }

  has(digest: string): boolean {
    return this.find(digest) !== undefined;
  }

  /** A blob's size and where it is; undefined when it is not here (or its content is gone from the repository). */
  find(digest: string): StoredBlob | undefined {
    const blob = this.at(this.ref(digest));
    return blob?.digest === digest ? blob : undefined;
  }

  /** The blob whose commit a ref points to. */
  at(ref: string): StoredBlob | undefined {
    const commit = this.repo.readRef(ref);
    if (commit === null) return undefined;
    let blob = this.#known.get(commit);
    try {
      if (blob !== undefined) return this.repo.hasObject('file', blob.file) ? blob : undefined;
      blob = readBlobCommit(this.repo, commit);
    } catch (error) {
      if (error instanceof AtomicError && error.code === 'not-found') return undefined;
      throw error;
    }
    if (blob === undefined) return undefined;
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(commit, blob);
    return blob;
  }

  /** The bytes of a blob. They were verified when they were stored; damage since then is what fsck looks for. */
  open(blob: StoredBlob, { start = 0, end = blob.size }: BlobRange = {}): Readable {
    if (end <= start) return Readable.from([]);
    const { path, open } = this.repo.loadFile(blob.file);
    if (path !== null) return createReadStream(path, { start, end: end - 1, highWaterMark: 1 << 18 });
    return start === 0 && end === blob.size ? open() : Readable.from(cut(open(), start, end), { objectMode: false });
  }

  /** A small blob whole; throws `corrupt` when it has more than `limit` bytes. */
  read(blob: StoredBlob, limit: number): Buffer {
    if (blob.size > limit) throw corrupt(`${blob.digest} has ${blob.size} bytes; at most ${limit} are read`);
    return this.repo.loadFile(blob.file).readContent();
  }

  /**
   * Stores what arrives, verified; there before, it is not read at all. Throws `corrupt` when it is not what its digest
   * says, and `no-space`.
   */
  async put(source: AsyncIterable<Uint8Array>, digest: string, options: PutOptions = {}): Promise<StoredBlob> {
    const there = this.find(digest);
    if (there !== undefined) return there;
    using upload = this.uploads.create(this.prefix);
    try {
      await upload.append(source, options);
      return await this.adopt(upload, digest, options);
    } finally {
      upload.remove();
    }
  }

  /** Makes a whole upload a blob; throws `corrupt` (the upload stays) when it is not what its digest says. */
  async adopt(upload: Upload, digest: string, options: PutOptions = {}): Promise<StoredBlob> {
    const ref = this.ref(digest);
    const known = await upload.verify(digest, options.size);
    await using transaction = await this.repo.begin({ ...options, resumable: false });
    const file = transaction.adoptContent(upload.path, BLOB_HEADER, known);
    const commit = writeBlobCommit(transaction, file, { digest, mediaType: options.mediaType });
    transaction.setRef(ref, commit);
    await transaction.commit();
    upload.remove();
    return { digest, size: known.size, mediaType: options.mediaType, commit, file };
  }

  /**
   * Stores bytes that are in memory, checked against their digest (`corrupt`). `refs` are written in their order, once the
   * content is safe; without, it is the blob's own.
   */
  async putBytes(
    bytes: Uint8Array,
    digest: string,
    options: PutOptions & { refs?: readonly string[] | undefined } = {},
  ): Promise<StoredBlob> {
    const { algorithm, hex } = parseDigest(digest);
    const actual = hexDigest(algorithm, bytes);
    if (actual !== hex) throw corrupt(`the digest is ${algorithm}:${actual} instead of ${digest}`);
    const { mediaType } = options;
    await using transaction = await this.repo.begin({ ...options, resumable: false });
    const file = await transaction.writeContent(
      { header: BLOB_HEADER, size: bytes.length, source: Buffer.from(bytes) },
      checksumBytes(Buffer.concat([fileHeaderBytes(BLOB_HEADER), bytes])),
    );
    const commit = writeBlobCommit(transaction, file, { digest, mediaType });
    for (const ref of options.refs ?? [this.ref(digest)]) transaction.setRef(ref, commit);
    await transaction.commit();
    return { digest, size: bytes.length, mediaType, commit, file };
  }

  /** Takes over a blob of another prefix in the same repository; false when it was pruned in the meantime. */
  async link(blob: StoredBlob, options: BeginOptions = {}): Promise<boolean> {
    using _lock = await this.repo.lock('shared', options);
    if (!this.repo.hasObject('commit', blob.commit) || !this.repo.hasObject('file', blob.file)) return false;
    this.repo.setRef(this.ref(blob.digest), blob.commit);
    return true;
  }

  /** Says that the blob is still wanted, see {@link age}; false when it is not here. */
  touch(digest: string): boolean {
    return touchRef(this.repo, this.ref(digest));
  }

  /** Milliseconds since the blob was stored, linked or touched; undefined when it is not here. */
  age(digest: string): number | undefined {
    const time = refTime(this.repo, this.ref(digest));
    return time === undefined ? undefined : Date.now() - time;
  }

  /** Removes its ref; its content goes with the next prune when no other ref keeps it. Returns false when it is not here. */
  delete(digest: string): boolean {
    const ref = this.ref(digest);
    if (this.repo.readRef(ref) === null) return false;
    this.repo.setRef(ref, null);
    return true;
  }

  /** All digests, in order. */
  *list(): Generator<string> {
    for (const { name: algorithm } of readRefFolder(this.repo, this.prefix)) {
      for (const { name, folder } of readRefFolder(this.repo, `${this.prefix}/${algorithm}`))
        if (!folder) yield `${algorithm}:${name}`;
    }
  }
}

export const hexDigest = (algorithm: DigestAlgorithm, bytes: Uint8Array): string =>
  createHash(algorithm).update(bytes).digest('hex');
