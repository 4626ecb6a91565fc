import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  openSync,
  realpathSync,
  rmSync,
  statSync,
  utimesSync,
} from 'node:fs';
import { errnoCode, lsetxattr } from '@atomic/linux';
import { AtomicError, corrupt } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import type { DirMeta } from '../objects/dirmeta.ts';
import type { FileEntry } from '../objects/dirtree.ts';
import { breather, type Progress } from '../progress.ts';
import { explain } from '../repo/explain.ts';
import type { Repo } from '../repo/repo.ts';
import { lookup } from '../repo/tree.ts';
import { startWork, type Work } from '../workers/work.ts';
import { cachesUnpacked, fillCache } from './cache.ts';
import { type Label, type Placed, type PlaceOptions, Placer, type UnionMode, withLabel } from './placer.ts';

export type { UnionMode };

export interface CheckoutOptions {
  /** `-U`: keep neither owners nor attributes, and drop setuid bits, so that anyone can check out. */
  user?: boolean | undefined;
  /** Check out only this path of the tree. */
  subpath?: string | undefined;
  /** What to do with files that are there: fail, replace, keep, or accept if the same (needs `requireHardlinks`). */
  union?: UnionMode | undefined;
  /** Fail rather than copy. */
  requireHardlinks?: boolean | undefined;
  /** Never link; then directories keep the time they were made at, too. */
  forceCopy?: boolean | undefined;
  /** Drop mode bits outside 0775 from directories. */
  bareUserOnlyDirs?: boolean | undefined;
  /** Docker's whiteouts: `.wh.NAME` removes NAME from what is there, `.wh..wh..opq` empties its directory first. */
  whiteouts?: boolean | undefined;
  /** Turn `.ostree-wh.NAME` into the device that overlayfs takes for a whiteout. */
  passthroughWhiteouts?: boolean | undefined;
  /** False leaves a path out, with all that is below it; paths are absolute, seen from `subpath`. */
  filter?: ((path: string) => boolean) | undefined;
  /** SELinux labels to set instead of those in the commit, by path below `prefix` (default: `subpath`); needs `forceCopy`. */
  selinux?: { label: Label; prefix?: string | undefined } | undefined;
  /** Use and fill an archive repository's cache of unpacked files, for -U. */
  cache?: boolean | undefined;
  /**
   * From a bare repository, link empty files too (stock always copies them): saves looking at each object. For trees that
   * nothing is written into.
   */
  linkEmpty?: boolean | undefined;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

export interface CheckoutResult {
  files: number;
  directories: number;
  linked: number;
  copied: number;
}

/**
 * Writes a commit's tree to `destination` (which must not exist unless `union` is set; its parent must). In a bare
 * repository files are hard links to their objects. Directories get their owner, mode and time once all is in them.
 * Throws `exists`, `not-found` (of the commit, an object or the subpath), `corrupt`, `no-space`, `permission`.
 */
export async function checkout(
  repo: Repo,
  rev: string,
  destination: string,
  options: CheckoutOptions = {},
): Promise<CheckoutResult> {
  const start = lookup(repo, repo.resolveRev(rev), options.subpath ?? '/');
  await using job = new Checkout(repo, options);
  if (start.kind === 'file') {
    // A folder for the file, or the working directory itself.
    if (destination !== '.' && lstatSync(destination, { throwIfNoEntry: false }) === undefined)
      mkdirSync(destination, { mode: 0o700 });
    await job.file(start.checksum, destination, start.path.slice(start.path.lastIndexOf('/') + 1));
    return job.result;
  }
  const fresh = lstatSync(destination, { throwIfNoEntry: false }) === undefined;
  try {
    await job.tree(start.tree, start.meta, destination);
  } catch (error) {
    // Threads may still be writing into it.
    await job[Symbol.asyncDispose]();
    // A tree that stopped half-way (interrupted, no space) must not be taken for the whole one.
    if (fresh) discard(destination);
    throw error;
  }
  return job.result;
}

function discard(destination: string): void {
  try {
    rmSync(destination, { recursive: true, force: true });
  } catch {
    // What went wrong first is what is to be told.
  }
}

/** Paths longer than this go through an open folder: the kernel takes 4096 bytes, and names can have 255. */
const LONG_PATH = 3500;
/** Files handed to a thread in one piece. */
const PORTION = 64;
/** About what copying a file costs, in the unit of the pool: bytes to be hashed. */
const COPY_COST = 64 << 10;

interface Enter {
  kind: 'enter';
  tree: Checksum;
  meta: Checksum;
  /** Where it goes. */
  path: string;
  inTree: string;
  /** Below a folder that is reached by its open descriptor. */
  deep: boolean;
}
interface Leave {
  kind: 'leave';
  tree: Checksum;
  finish: { meta: Checksum; path: string; inTree: string } | null;
  deep: boolean;
  /** A descriptor that is not needed any more. */
  fd: number | null;
}

class Checkout {
  readonly result: CheckoutResult = { files: 0, directories: 0, linked: 0, copied: 0 };
  readonly #repo: Repo;
  readonly #options: CheckoutOptions;
  readonly #place: PlaceOptions;
  readonly #placer: Placer;
  readonly #union: UnionMode;
  readonly #pause: () => Promise<void> | undefined;
  readonly #xattrs: boolean;
  readonly #metas = new Map<Checksum, DirMeta>();
  /** Whom new directories belong to as they are made; null where some were there before. */
  #owner: { uid: number; gid: number } | null = null;
  /** Whether files may be placed in any order and by any thread. */
  readonly #parallel: boolean;
  #work: Work<'checkout'> | null = null;
  /** Resolved, with a slash at its end, once it was found there; in one made just now no symlink leads outside. */
  #destination = '/';
  readonly #uncached: Placed['uncached'] = [];

  constructor(repo: Repo, options: CheckoutOptions) {
    this.#repo = repo;
    this.#options = options;
    this.#union = options.union ?? 'none';
    this.#pause = breather(options.signal);
    const user = options.user === true || repo.mode === 'bare-user-only';
    this.#place = {
      user,
      union: this.#union,
      requireHardlinks: options.requireHardlinks === true,
      forceCopy: options.forceCopy === true,
      whiteouts: options.whiteouts === true,
      passthroughWhiteouts: options.passthroughWhiteouts === true,
      cache: options.cache === true && user && cachesUnpacked(repo),
      linkEmpty: options.linkEmpty === true,
    };
    this.#check();
    this.#xattrs = !user && repo.config.getBoolean('core', 'disable-xattrs') !== true;
    const { selinux } = options;
    const prefix = (selinux?.prefix ?? options.subpath ?? '/').replace(/\/*$/, '');
    this.#placer = new Placer(
      repo,
      this.#place,
      selinux === undefined ? null : (path, mode) => selinux.label(`${prefix}${path}`, mode),
    );
    const links = !this.#place.forceCopy && (user ? /^bare-user/.test(repo.mode) : repo.mode === 'bare');
    // link(2) holds locks that threads would wait for: measured, one thread is a fifth faster.
    this.#parallel =
      !links &&
      this.#union === 'none' &&
      !this.#place.whiteouts &&
      !this.#place.passthroughWhiteouts &&
      selinux === undefined;
  }

  #check(): void {
    const { requireHardlinks, forceCopy } = this.#place;
    if (requireHardlinks && forceCopy)
      throw new AtomicError('usage', 'Cannot specify both --require-hardlinks and --force-copy');
    if (this.#union === 'identical' && !requireHardlinks)
      throw new AtomicError('usage', '--union-identical requires --require-hardlinks');
    if (this.#options.selinux !== undefined && !forceCopy)
      throw new AtomicError('usage', 'SELinux labels can only be set on copies');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#work?.[Symbol.asyncDispose]();
  }

  async file(checksum: Checksum, folder: string, name: string): Promise<void> {
    this.result.files++;
    await this.#placer.place(folder, name, checksum, `/${name}`);
    this.#count(this.#placer.take());
    fillCache(this.#repo, this.#uncached);
  }

  /** Checks out a directory and everything below it. */
  async tree(tree: Checksum, meta: Checksum, path: string): Promise<void> {
    // No hash can contain itself; a repository that was tampered with can say so, for ever.
    const above = new Set<Checksum>();
    const unfinished: NonNullable<Leave['finish']>[] = [];
    const tasks: (Enter | Leave)[] = [{ kind: 'enter', tree, meta, path, inTree: '/', deep: false }];
    for (let task = tasks.pop(); task !== undefined; task = tasks.pop()) {
      const turn = this.#pause();
      if (turn !== undefined) {
        await turn;
        this.#options.progress?.({ phase: 'Checking out', done: this.result.files });
      }
      if (task.kind === 'enter') {
        if (above.has(task.tree)) throw corrupt(`Corrupted dirtree object ${task.tree}: it contains itself`);
        await this.#enter(task, tasks, above);
        continue;
      }
      above.delete(task.tree);
      // Threads may still be at its files, and each of those changes the directory's time.
      if (task.finish !== null && this.#work !== null && !task.deep) unfinished.push(task.finish);
      else if (task.finish !== null) this.#finish(task.finish);
      if (task.fd !== null) closeSync(task.fd);
    }
    await this.#work?.finish();
    for (const finish of unfinished) this.#finish(finish);
    fillCache(this.#repo, this.#uncached);
  }

  async #enter(task: Enter, tasks: (Enter | Leave)[], above: Set<Checksum>): Promise<void> {
    const { tree, meta, inTree } = task;
    if (this.#options.filter?.(inTree) === false) return;
    above.add(tree);
    const listing = this.#repo.loadDirTree(tree);
    const opaque = this.#place.whiteouts && listing.files.some(({ name }) => name === '.wh..wh..opq');
    const existed = this.#makeDirectory(task.path, inTree === '/', opaque);
    this.result.directories++;
    let { path, deep } = task;
    let fd: number | null = null;
    if (Buffer.byteLength(path) > LONG_PATH) {
      fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
      path = `/proc/self/fd/${fd}`;
      deep = true;
    }
    // Deep folders are finished when they are left, so their descriptors can be closed.
    const finish = existed ? null : { meta, path: fd === null ? path : `${path}/.`, inTree };
    tasks.push({ kind: 'leave', tree, finish, deep, fd });
    for (const dir of listing.dirs.toReversed()) {
      const below = inTree === '/' ? `/${dir.name}` : `${inTree}/${dir.name}`;
      tasks.push({ kind: 'enter', tree: dir.tree, meta: dir.meta, path: `${path}/${dir.name}`, inTree: below, deep });
    }
    const { filter } = this.#options;
    const base = inTree === '/' ? '' : inTree;
    const files = filter === undefined ? listing.files : listing.files.filter(({ name }) => filter(`${base}/${name}`));
    this.result.files += files.length;
    if (this.#parallel && !deep) await this.#handOut(path, files);
    else await this.#placeHere(path, files, base);
  }

  /** Makes a directory, or finds it there; true when it was there. */
  #makeDirectory(path: string, root: boolean, opaque: boolean): boolean {
    const { whiteouts, requireHardlinks } = this.#place;
    if (opaque) rmSync(path, { recursive: true, force: true });
    else if (whiteouts && this.#union === 'overwrite') {
      const there = lstatSync(path, { throwIfNoEntry: false });
      if (there !== undefined && !there.isDirectory()) rmSync(path);
    }
    let found = false;
    try {
      // Nobody else is to look into it before it is complete.
      mkdirSync(path, 0o700);
    } catch (error) {
      if (errnoCode(error) !== 'EEXIST' || this.#union === 'none') {
        const hint = root
          ? 'check out into a new directory, or say --union, --union-add or --union-identical'
          : undefined;
        throw explain(error, path, errnoCode(error) === 'EEXIST' ? hint : undefined);
      }
      found = true;
    }
    // Those below get the same: the process's, or what a parent with setgid passes on to all of them.
    if (root && !found && this.#union === 'none') this.#owner = statSync(path);
    const linked = requireHardlinks && root;
    if (!found && !linked) return false;
    // A symlink to a directory will do: trees are laid over merged ones (/lib and /usr/lib).
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat?.isDirectory() !== true) throw new AtomicError('exists', `${path}: Not a directory`);
    if (root) this.#destination = `${realpathSync(path)}/`;
    else if (lstatSync(path).isSymbolicLink()) this.#checkInside(path);
    if (linked) this.#checkDevice(stat.dev);
    return found;
  }

  /** What a symlink in the destination leads to must be in the destination: nothing is written anywhere else. */
  #checkInside(path: string): void {
    const target = realpathSync(path);
    if (`${target}/`.startsWith(this.#destination)) return;
    throw new AtomicError('exists', `${path}: a symlink to ${target}, outside of what is checked out into`, {
      hint: 'remove the symlink, or check out into another directory',
    });
  }

  #checkDevice(destination: number): void {
    const source = statSync(this.#repo.path).dev;
    if (source === destination) return;
    throw new AtomicError(
      'failed',
      `Unable to do hardlink checkout across devices (src=${source} destination=${destination})`,
    );
  }

  async #placeHere(path: string, files: readonly FileEntry[], base: string): Promise<void> {
    for (const { name, checksum } of files) {
      const turn = this.#pause();
      if (turn !== undefined) await turn;
      const pending = this.#placer.place(path, name, checksum, `${base}/${name}`);
      if (pending !== undefined) await pending;
    }
    this.#count(this.#placer.take());
  }

  async #handOut(path: string, files: readonly FileEntry[]): Promise<void> {
    if (files.length === 0) return;
    this.#work ??= await startWork(
      'checkout',
      { repo: this.#repo.path, options: this.#place },
      { each: (placed) => this.#count(placed), signal: this.#options.signal },
    );
    for (let at = 0; at < files.length; at += PORTION) {
      const portion = files.slice(at, at + PORTION);
      const pending = this.#work.push({ folder: path, files: portion }, portion.length * COPY_COST);
      if (pending !== undefined) await pending;
    }
  }

  #count({ linked, copied, uncached }: Placed): void {
    this.result.linked += linked;
    this.result.copied += copied;
    for (const one of uncached) this.#uncached.push(one);
  }

  /** A new directory gets what the commit says of it: mode last, so that we could write until now. */
  #finish({ meta: checksum, path, inTree }: NonNullable<Leave['finish']>): void {
    let meta = this.#metas.get(checksum);
    if (meta === undefined) {
      meta = this.#repo.loadDirMeta(checksum);
      this.#metas.set(checksum, meta);
    }
    const { user, forceCopy } = this.#place;
    try {
      if (!user && (this.#owner?.uid !== meta.uid || this.#owner.gid !== meta.gid)) chownSync(path, meta.uid, meta.gid);
      if (this.#xattrs) {
        const label = this.#options.selinux === undefined ? undefined : this.#placer.label(inTree, meta.mode);
        for (const { name, value } of withLabel(meta.xattrs, label)) lsetxattr(path, name, value);
      }
      const canonical = this.#repo.mode === 'bare-user-only' || this.#options.bareUserOnlyDirs === true;
      chmodSync(path, meta.mode & (canonical ? 0o775 : 0o7777));
      if (!forceCopy) utimesSync(path, Date.now() / 1000, 0);
    } catch (error) {
      throw explain(error, path);
    }
  }
}
