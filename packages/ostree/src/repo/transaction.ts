import { existsSync, linkSync, lstatSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FileLock } from '@atomic/linux';
import { AtomicError, corrupt } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import type { FileHeader } from '../objects/file.ts';
import { MAX_METADATA_SIZE, type MetadataType, type ObjectType } from '../objects/type.ts';
import { adoptContent } from './adopt-content.ts';
import { SpaceBudget } from './free-space.ts';
import { type ImportOptions, importContent } from './import-content.ts';
import { ObjectTable } from './object-table.ts';
import { payloadLinkThreshold } from './payload-link.ts';
import { listStaged, publishObjects } from './publish.ts';
import { checkRefTarget, type RefTarget, writeRef } from './refs.ts';
import type { BeginOptions, Repo } from './repo.ts';
import { Stager, type Stored, type StoreTarget } from './stager.ts';
import { abandonStaging, cleanTmp, openStaging, removeStaging, type Staging } from './staging.ts';
import { storeFilezStream } from './store-filez.ts';
import {
  type ContentSource,
  checkMetadata,
  checkMetadataSize,
  metadataChecksum,
  placeMetadata,
  storeContentSource,
} from './store-object.ts';

export interface TransactionStats {
  /** Objects offered, whether they were here already or not. */
  metadataTotal: number;
  contentTotal: number;
  metadataWritten: number;
  contentWritten: number;
  /** Files known for objects by their inode alone. */
  deviceHits: number;
  /** Bytes of content before compression. */
  contentBytes: number;
}

/**
 * Writes to a repository. Objects gather in a staging folder; `commit` makes them durable (syncfs), renames them into
 * `objects/`, flushes the folders, and only then moves the refs. So a crash leaves the old refs with everything they
 * need, and at worst objects nobody refers to yet.
 */
export class Transaction implements AsyncDisposable {
  readonly repo: Repo;
  readonly stats: TransactionStats = {
    metadataTotal: 0,
    contentTotal: 0,
    metadataWritten: 0,
    contentWritten: 0,
    deviceHits: 0,
    contentBytes: 0,
  };
  readonly stager: Stager;
  readonly #lock: FileLock | null;
  readonly #staging: Staging;
  readonly #space: SpaceBudget;
  readonly #refs = new Map<string, [RefTarget, Checksum | null]>();
  readonly #complete = new Set<Checksum>();
  /** What lies in the staging folder, which is this transaction's alone: asked of for every object of a pull. */
  readonly #staged = new ObjectTable<true>();
  #open = true;
  readonly #discard: boolean;

  private constructor(repo: Repo, lock: FileLock | null, staging: Staging, space: SpaceBudget, options: BeginOptions) {
    this.repo = repo;
    this.#lock = lock;
    this.#staging = staging;
    this.#space = space;
    this.#discard = options.discard === true;
    const payloadThreshold = payloadLinkThreshold(repo);
    this.stager = new Stager(
      {
        repo: repo.path,
        mode: repo.mode,
        stageDir: staging.path,
        zlibLevel: Number(repo.config.get('archive', 'zlib-level') ?? 6),
        fsyncObjects: repo.fsync && repo.config.getBoolean('core', 'per-object-fsync') === true,
        takesContent: repo.mode !== 'bare-split-xattrs' || repo.options.splitXattrs === true,
        // Payload links are found by the names of what they point to.
        resumable: options.resumable !== false || payloadThreshold !== null,
        payloadThreshold,
      },
      options.beside,
    );
    for (const { type, checksum } of listStaged(staging.path)) this.#staged.set(type, checksum, true);
  }

  static async begin(repo: Repo, options: BeginOptions): Promise<Transaction> {
    const lock = await repo.lock('shared', options);
    try {
      const space = new SpaceBudget(repo.path, repo.config);
      return new Transaction(repo, lock, openStaging(repo), space, options);
    } catch (error) {
      lock?.[Symbol.dispose]();
      throw error;
    }
  }

  get stageDir(): string {
    return this.#staging.path;
  }

  /** Where and how this transaction's objects are written, for work in threads; report each with {@link noteStored}. */
  get target(): StoreTarget {
    return this.stager.target;
  }

  hasObject(type: ObjectType, checksum: Checksum): boolean {
    return this.#staged.has(type, checksum) || this.repo.hasObject(type, checksum);
  }

  /** As {@link hasObject}, without the parent repository: what is written anew. */
  holds(type: ObjectType, checksum: Checksum): boolean {
    return this.#staged.has(type, checksum) || this.repo.hasOwnObject(type, checksum);
  }

  /** Raw bytes of a metadata object, stored or staged. */
  loadObject(type: MetadataType, checksum: Checksum): Buffer {
    if (!this.#staged.has(type, checksum)) return this.repo.loadObject(type, checksum);
    const path = this.stager.stagedPath(type, checksum);
    const { size } = lstatSync(path);
    if (size > MAX_METADATA_SIZE) throw corrupt(`${path} is ${size} bytes, too large for metadata`);
    return readFileSync(path);
  }

  /**
   * Stages a metadata object. Its format is checked first, and its checksum against `expected` when given
   * (`corrupt` otherwise): whatever gets a name in a repository is valid. `trusted` takes bytes and `expected` as said.
   */
  writeMetadata(
    type: MetadataType,
    bytes: Uint8Array,
    options: { expected?: Checksum | undefined; trusted?: boolean | undefined } = {},
  ): Checksum {
    checkMetadataSize(type, bytes);
    this.stats.metadataTotal++;
    const { expected } = options;
    const trusted = options.trusted === true && expected !== undefined;
    const checksum = trusted ? expected : metadataChecksum(type, bytes, expected);
    if (this.holds(type, checksum)) return checksum;
    if (!trusted) checkMetadata(type, bytes);
    this.#placeMetadata(type, checksum, bytes);
    this.stats.metadataWritten++;
    return checksum;
  }

  /** Stages a commit's detached metadata, replacing what there may be. */
  writeDetached(checksum: Checksum, bytes: Uint8Array): void {
    this.#placeMetadata('commitmeta', checksum, bytes);
  }

  /** Stages a content object from its header and content; returns its checksum, checked against `expected`. */
  async writeContent(content: ContentSource, expected?: Checksum): Promise<Checksum> {
    return this.noteStored(await storeContentSource(this.stager, content, expected));
  }

  /** Stages a file that lies on the repository's file system, by a link; see {@link adoptContent}. */
  adoptContent(path: string, header: FileHeader, known: { checksum: Checksum; size: number }): Checksum {
    return this.noteStored(adoptContent(this.stager, path, header, known));
  }

  /**
   * Stages a content object that arrives as an archive object (`.filez`), verified before it gets its name. An archive
   * repository keeps the bytes as they came. Throws `corrupt`; returns the bytes read.
   */
  async importFilez(stream: AsyncIterable<Uint8Array>, expected: Checksum): Promise<{ bytes: number }> {
    let bytes = 0;
    async function* counted(): AsyncGenerator<Uint8Array> {
      for await (const chunk of stream) {
        bytes += chunk.length;
        yield chunk;
      }
    }
    this.noteStored(await storeFilezStream(this.stager, counted(), expected));
    return { bytes };
  }

  /**
   * Brings an object over from another repository on this machine: by hard link where mode and file system allow,
   * else by copy. Unless `trusted`, content is re-hashed on the way.
   */
  async importFrom(
    source: Repo,
    type: ObjectType,
    checksum: Checksum,
    options: ImportOptions = {},
  ): Promise<'present' | 'linked' | 'copied'> {
    switch (type) {
      case 'file': {
        if (this.hasObject(type, checksum)) return 'present';
        const imported = await importContent(this.stager, source, checksum, options);
        this.noteStored(imported);
        return imported.how;
      }
      case 'commitmeta': {
        const detached = source.readDetachedMetadata(checksum);
        if (detached !== null) this.writeDetached(checksum, detached);
        return 'copied';
      }
      case 'commit':
      case 'dirtree':
      case 'dirmeta':
        if (this.hasObject(type, checksum)) return 'present';
        if (options.trusted && this.#linkMetadata(source, type, checksum)) return 'linked';
        this.writeMetadata(type, source.loadObject(type, checksum), { expected: checksum });
        return 'copied';
      default:
        throw new AtomicError('invalid', `${type} objects are not imported`);
    }
  }

  /** Metadata is the same file in every mode; what comes on trust can share its inode. */
  #linkMetadata(source: Repo, type: MetadataType, checksum: Checksum): boolean {
    try {
      this.stager.named(this.stager.stagedPath(type, checksum), (path) =>
        linkSync(source.objectPath(type, checksum), path),
      );
    } catch {
      return false;
    }
    this.#staged.set(type, checksum, true);
    this.stats.metadataWritten++;
    return true;
  }

  /** Counts a content object that was staged with {@link target}; returns its checksum. Throws `no-space`. */
  noteStored(stored: Stored): Checksum {
    const { checksum, size, isNew } = stored;
    this.stats.contentTotal++;
    if (!isNew) return checksum;
    // Two threads may have met the same content at the same time.
    if (this.#staged.has('file', checksum)) {
      if (stored.aside !== undefined && stored.aside !== this.stager.unnamed.get('file', checksum))
        rmSync(join(this.stageDir, stored.aside));
      return checksum;
    }
    this.#staged.set('file', checksum, true);
    if (stored.aside !== undefined) this.stager.unnamed.set('file', checksum, stored.aside);
    this.#space.take(size);
    this.stats.contentWritten++;
    this.stats.contentBytes += size;
    return checksum;
  }

  /** Counts a metadata object that was staged, checked, with {@link target}. */
  noteMetadata(type: MetadataType, checksum: Checksum): void {
    this.stats.metadataTotal++;
    if (this.#staged.has(type, checksum)) return;
    this.#staged.set(type, checksum, true);
    this.stats.metadataWritten++;
  }

  /** Moves a ref when the transaction commits, after the objects are durable. */
  setRef(target: RefTarget, checksum: Checksum | null): void {
    this.#refs.set(checkRefTarget(target), [target, checksum]);
  }

  /** Notes, at once and durably enough, that a commit's objects may be missing: written before the commit object. */
  markPartial(checksum: Checksum): void {
    mkdirSync(join(this.repo.path, 'state'), { recursive: true });
    if (!existsSync(this.repo.partialPath(checksum))) writeFileSync(this.repo.partialPath(checksum), '');
    this.#complete.delete(checksum);
  }

  /** The commit is whole once this transaction has committed: its partial mark goes then. */
  clearPartial(checksum: Checksum): void {
    this.#complete.add(checksum);
  }

  /** Makes everything durable and visible; see the class. */
  async commit(): Promise<TransactionStats> {
    const { repo } = this;
    if (repo.options.testErrors?.includes('pre-commit'))
      throw new AtomicError('failed', 'OSTREE_REPO_TEST_ERROR_PRE_COMMIT specified');
    await publishObjects(repo, this.stager);
    for (const checksum of this.#complete) rmSync(repo.partialPath(checksum), { force: true });
    removeStaging(this.#staging);
    cleanTmp(repo);
    for (const [target, checksum] of this.#refs.values()) writeRef(repo, target, checksum);
    this.#close();
    return this.stats;
  }

  /** Drops what is not committed. The staged objects stay for the next run to resume; see {@link openStaging}. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#open && this.#discard) removeStaging(this.#staging);
    else if (this.#open) abandonStaging(this.#staging, this.repo.mode);
    this.#close();
  }

  #close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#lock?.[Symbol.dispose]();
  }

  #placeMetadata(type: ObjectType, checksum: Checksum, bytes: Uint8Array): void {
    placeMetadata(this.stager, type, checksum, bytes);
    this.#staged.set(type, checksum, true);
  }
}
