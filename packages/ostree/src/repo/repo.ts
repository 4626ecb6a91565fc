import {
  accessSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { errnoCode, FileLock, LockedError } from '@atomic/linux';
import { AtomicError, corrupt } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import { type Commit, parseCommit } from '../objects/commit.ts';
import { type DirMeta, parseDirMeta } from '../objects/dirmeta.ts';
import { type DirTree, parseDirTree } from '../objects/dirtree.ts';
import { loosePath, MAX_METADATA_SIZE, type MetadataType, type ObjectType, parseLooseName } from '../objects/type.ts';
import { KeyFile } from './keyfile.ts';
import { loadFileObject, type StoredFile } from './load-file.ts';
import { parseRepoMode, type RepoMode } from './mode.ts';
import { readSmallFile } from './read-small.ts';
import { type ListRefsOptions, listRefs, type RefTarget, readRef, writeRef } from './refs.ts';
import { RemoteTable, type RemoteTableOptions } from './remote-table.ts';
import { resolveRev } from './resolve-rev.ts';
import type { Stager } from './stager.ts';
import { Transaction } from './transaction.ts';
import { replaceFile } from './write-file.ts';

export interface BeginOptions {
  /** False when what an interrupted run has staged is of no use to the next, which saves naming it. */
  resumable?: boolean | undefined;
  /** Leave nothing of what is not committed: it came from somebody who is not to be trusted with room. */
  discard?: boolean | undefined;
  /** Transactions with one set share what they both write, by hard link; with `resumable: false`. */
  beside?: Set<Stager> | undefined;
  wait?: boolean | undefined;
  signal?: AbortSignal | undefined;
  onWait?: ((message: string) => void) | undefined;
}

/** What only the caller knows about a repository he opens. */
export interface OpenOptions extends RemoteTableOptions {
  /** Stands for this boot's ID in the names of staging folders (OSTREE_BOOTID). */
  bootId?: string | undefined;
  /** Places where an operation is to fail, for tests of what it leaves behind (OSTREE_REPO_TEST_ERROR): `pre-commit`. */
  testErrors?: readonly string[] | undefined;
  /** Permit upstream's experimental writer for `bare-split-xattrs` (OSTREE_EXP_WRITE_BARE_SPLIT_XATTRS). */
  splitXattrs?: boolean | undefined;
}

const FOLDERS = [
  'objects',
  'tmp',
  'tmp/cache',
  'extensions',
  'state',
  'refs',
  'refs/heads',
  'refs/mirrors',
  'refs/remotes',
];

const helpers: ReadonlySet<ObjectType> = new Set(['payload-link', 'file-xattrs', 'file-xattrs-link']);

/** A repository on disk (layout and modes: libostree's ostree-repo.c and man ostree.repo-config). */
export class Repo {
  readonly path: string;
  readonly mode: RepoMode;
  readonly config: KeyFile;
  readonly options: OpenOptions;
  #remoteTable: RemoteTable | undefined;
  #parent: Repo | null | undefined;
  /** The repositories this one is a parent of, for which it was opened. */
  #lineage: string[] = [];

  private constructor(path: string, mode: RepoMode, config: KeyFile, options: OpenOptions) {
    this.path = path;
    this.mode = mode;
    this.config = config;
    this.options = options;
  }

  /** Makes a repository, or completes one that is there already; its mode must then be the same. */
  static create(path: string, options: { mode?: RepoMode; collectionId?: string } = {}): Repo {
    const mode = options.mode ?? 'bare';
    mkdirSync(path, { recursive: true });
    for (const folder of FOLDERS) mkdirSync(join(path, folder), { recursive: true });
    // The config comes last and whole: what has one is a repository.
    if (!existsSync(join(path, 'config'))) {
      const config = new KeyFile();
      config.set('core', 'repo_version', '1');
      config.set('core', 'mode', mode === 'archive' ? 'archive-z2' : mode);
      if (options.collectionId !== undefined) config.set('core', 'collection-id', options.collectionId);
      replaceFile(join(path, 'config'), config.toString());
    }
    return Repo.open(path);
  }

  /** Opens a repository; throws `not-found` when there is none and `invalid` for a config it cannot honour. */
  static open(path: string, options: OpenOptions = {}): Repo {
    let text: string;
    try {
      text = readFileSync(join(path, 'config'), 'utf8');
    } catch (error) {
      const code = errnoCode(error);
      if (code === 'EACCES') throw new AtomicError('permission', `${path}/config: permission denied`, { cause: error });
      throw new AtomicError('not-found', `no repository at ${path}`, {
        hint: `make one with: ostree init --repo=${path} --mode=archive`,
        cause: error,
      });
    }
    if (!existsSync(join(path, 'objects'))) throw corrupt(`${path} has a config but no objects/: not a repository`);
    const config = KeyFile.parse(text, join(path, 'config'));
    const version = config.get('core', 'repo_version');
    if (version !== '1')
      throw new AtomicError('unsupported', `Invalid repository version '${version ?? ''}' in ${path}`);
    try {
      // People clear tmp/ to gain room; stock makes it anew as well. Whoever may only read needs none.
      mkdirSync(join(path, 'tmp/cache'), { recursive: true });
    } catch (error) {
      if (!['EACCES', 'EROFS', 'EPERM', 'ENOSPC'].includes(errnoCode(error) ?? '')) throw error;
    }
    return new Repo(realpathSync(path), parseRepoMode(config.get('core', 'mode') ?? 'bare'), config, options);
  }

  /** The repository whose objects count as present here too (`[core] parent`), or null. */
  get parent(): Repo | null {
    if (this.#parent === undefined) {
      const path = this.config.get('core', 'parent');
      this.#parent = path === undefined || path === '' ? null : Repo.open(resolve(this.path, path));
      if (this.#parent !== null) {
        this.#parent.#lineage = [...this.#lineage, this.path];
        // Or every look-up would go round for ever.
        if (this.#parent.#lineage.includes(this.#parent.path))
          throw new AtomicError('invalid', `${this.#parent.path} is its own parent repository`);
      }
    }
    return this.#parent;
  }

  get archive(): boolean {
    return this.mode === 'archive';
  }

  /** False when `[core] fsync=false` asks to trade durability for speed. */
  get fsync(): boolean {
    return this.config.getBoolean('core', 'fsync') ?? true;
  }

  /** Whether this process may write here. */
  get writable(): boolean {
    try {
      accessSync(join(this.path, 'objects'), constants.W_OK);
      return true;
    } catch {
      return false;
    }
  }

  /** Writes the config; throws `exists` when it defines a remote that has a file of its own. */
  saveConfig(): void {
    this.remoteTable.checkConfig();
    replaceFile(join(this.path, 'config'), this.config.toString(), { sync: this.fsync });
  }

  // -- objects -------------------------------------------------------------------------------------------------

  /** Absolute path of a loose object, there or not. */
  objectPath(type: ObjectType, checksum: Checksum): string {
    return `${this.path}/objects/${loosePath(type, checksum, this.archive)}`;
  }

  /** Whether this repository or its parent has the object. */
  hasObject(type: ObjectType, checksum: Checksum): boolean {
    return this.hasOwnObject(type, checksum) || this.parent?.hasObject(type, checksum) === true;
  }

  hasOwnObject(type: ObjectType, checksum: Checksum): boolean {
    return lstatSync(this.objectPath(type, checksum), { throwIfNoEntry: false }) !== undefined;
  }

  /** The raw bytes of a metadata object; throws `not-found` or `corrupt` (too large to be one). */
  loadObject(type: MetadataType, checksum: Checksum): Buffer {
    const bytes = readSmallFile(this.objectPath(type, checksum), MAX_METADATA_SIZE);
    if (bytes !== null) return bytes;
    if (this.parent !== null) return this.parent.loadObject(type, checksum);
    throw new AtomicError('not-found', `No such metadata object ${checksum}.${type}`);
  }

  loadCommit(checksum: Checksum): Commit {
    return this.#parse('commit', checksum, parseCommit);
  }
  loadDirTree(checksum: Checksum): DirTree {
    return this.#parse('dirtree', checksum, parseDirTree);
  }
  loadDirMeta(checksum: Checksum): DirMeta {
    return this.#parse('dirmeta', checksum, parseDirMeta);
  }

  #parse<T>(type: MetadataType, checksum: Checksum, parse: (bytes: Buffer) => T): T {
    const bytes = this.loadObject(type, checksum);
    try {
      return parse(bytes);
    } catch (error) {
      throw corrupt(
        `Corrupted object ${checksum}.${type}: ${error instanceof Error ? error.message : String(error)}`,
        error,
      );
    }
  }

  /** A content object: its header, and its content on demand. */
  loadFile(checksum: Checksum): StoredFile {
    return loadFileObject(this, checksum);
  }

  /** The detached metadata (`.commitmeta`, an `a{sv}`) of a commit, or null. */
  readDetachedMetadata(checksum: Checksum): Buffer | null {
    try {
      return readFileSync(this.objectPath('commitmeta', checksum));
    } catch (error) {
      if (errnoCode(error) !== 'ENOENT') throw error;
      return this.parent?.readDetachedMetadata(checksum) ?? null;
    }
  }

  partialPath(checksum: Checksum): string {
    return join(this.path, 'state', `${checksum}.commitpartial`);
  }

  commitState(checksum: Checksum): 'complete' | 'partial' | 'missing' {
    if (!this.hasObject('commit', checksum)) return 'missing';
    return existsSync(this.partialPath(checksum)) ? 'partial' : 'complete';
  }

  /**
   * Every loose object (only commits, with `only`), folder by folder; the helpers of content objects (payload links, split
   * attributes) with `all` only.
   */
  *listObjects(
    options: { all?: boolean | undefined; only?: 'commit' | undefined } = {},
  ): Generator<{ type: ObjectType; checksum: Checksum; path: string }> {
    const objects = join(this.path, 'objects');
    for (const prefix of readdirSync(objects).sort()) {
      if (!/^[0-9a-f]{2}$/.test(prefix)) continue;
      for (const name of readdirSync(join(objects, prefix))) {
        if (options.only !== undefined && !name.endsWith(`.${options.only}`)) continue;
        const parsed = parseLooseName(prefix, name);
        if (parsed === null || (!options.all && helpers.has(parsed.type))) continue;
        yield { ...parsed, path: join(objects, prefix, name) };
      }
    }
  }

  // -- refs ----------------------------------------------------------------------------------------------------

  /** The commit that REF, REMOTE:REF, a full or unique short checksum, or any of these with `^` names. */
  resolveRev(rev: string, options: { local?: boolean } = {}): Checksum {
    return resolveRev(this, rev, options);
  }

  tryResolveRev(rev: string): Checksum | null {
    try {
      return resolveRev(this, rev);
    } catch (error) {
      if (error instanceof AtomicError && error.code === 'not-found') return null;
      throw error;
    }
  }

  /** The commit a refspec points to, or null. */
  readRef(target: RefTarget): Checksum | null {
    return readRef(this, target);
  }

  /** Refspecs (`REMOTE:REF` for a remote's) and their commits, sorted. */
  listRefs(options: ListRefsOptions = {}): Map<string, Checksum> {
    return listRefs(this, options);
  }

  /** Points a ref at a commit, or deletes it; durable when it returns. */
  setRef(target: RefTarget, checksum: Checksum | null): void {
    writeRef(this, target, checksum);
  }

  // -- locks and transactions ----------------------------------------------------------------------------------

  /**
   * The repository lock: shared for writers, exclusive for prune (the OFD lock stock tools take on `.lock`).
   * Null with `[core] locking=false`.
   */
  async lock(mode: 'shared' | 'exclusive', options: BeginOptions = {}): Promise<FileLock | null> {
    if (this.config.getBoolean('core', 'locking') === false) return null;
    const timeout = this.config.get('core', 'lock-timeout-secs');
    const timeoutSeconds = timeout === undefined ? 300 : Number(timeout);
    try {
      return await FileLock.acquire(join(this.path, '.lock'), mode, {
        ...options,
        timeoutSeconds: timeoutSeconds < 0 ? undefined : timeoutSeconds,
      });
    } catch (error) {
      if (error instanceof LockedError) throw new AtomicError('locked', error.message, { cause: error });
      if (errnoCode(error) === 'EACCES' || errnoCode(error) === 'EROFS') {
        throw new AtomicError('permission', `cannot write to the repository ${this.path}: permission denied`, {
          hint: 'run as the user who owns the repository, or as root',
          cause: error,
        });
      }
      throw error;
    }
  }

  /** Begins to write: takes the shared lock and a staging folder, resuming what an interrupted run of this boot left. */
  begin(options: BeginOptions = {}): Promise<Transaction> {
    return Transaction.begin(this, options);
  }

  // -- remotes -------------------------------------------------------------------------------------------------

  /** Where remotes are defined: the config, remotes.d, the parent repository. */
  get remoteTable(): RemoteTable {
    this.#remoteTable ??= new RemoteTable(this, this.options);
    return this.#remoteTable;
  }

  /** Names of all remotes, sorted. */
  remotes(): string[] {
    return this.remoteTable.names();
  }

  remoteOption(remote: string, key: string): string | undefined {
    return this.remoteTable.option(remote, key);
  }
}
