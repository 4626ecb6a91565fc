import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  copyFileSync,
  createWriteStream,
  fchmodSync,
  fchownSync,
  futimesSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { errnoCode, fsetxattr, lsetxattr } from '@atomic/linux';
import { AtomicError, corrupt } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import type { DirMeta } from '../objects/dirmeta.ts';
import type { FileHeader } from '../objects/file.ts';
import { isSymlink } from '../objects/mode.ts';
import { breather, type Progress } from '../progress.ts';
import type { Repo } from '../repo/repo.ts';
import { lookup } from '../repo/tree.ts';

export type UnionMode = 'none' | 'overwrite' | 'add' | 'identical';

export interface CheckoutOptions {
  /** `-U`: keep neither owners nor attributes, and drop setuid bits, so that anyone can check out. */
  user?: boolean | undefined;
  /** Check out only this path of the tree. */
  subpath?: string | undefined;
  /** What to do with files that are there: fail, replace, keep, or accept if the same. */
  union?: UnionMode | undefined;
  /** Fail rather than copy. */
  requireHardlinks?: boolean | undefined;
  /** Never link. */
  forceCopy?: boolean | undefined;
  /** Copy empty files: every one in a tree is the same object, and link counts have an end. */
  copyEmpty?: boolean | undefined;
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
 * Writes a commit's tree to `destination` (which must not exist unless `union` is set). In a bare repository files
 * are hard links to their objects. Directories get their owner, mode and time after their content, as stock does.
 */
export async function checkout(
  repo: Repo,
  rev: string,
  destination: string,
  options: CheckoutOptions = {},
): Promise<CheckoutResult> {
  const checksum = repo.resolveRev(rev);
  const start = lookup(repo, checksum, options.subpath ?? '/');
  const result: CheckoutResult = { files: 0, directories: 0, linked: 0, copied: 0 };
  const job = new Checkout(repo, options, result);
  if (start.kind === 'file') {
    mkdirSync(destination, { recursive: true });
    await job.file(start.checksum, join(destination, start.path.slice(start.path.lastIndexOf('/') + 1)));
    return result;
  }
  const fresh = lstatSync(destination, { throwIfNoEntry: false }) === undefined;
  try {
    await job.directory(start.tree, start.meta, destination, true);
  } catch (error) {
    // A tree that stopped half-way (interrupted, no space) must not be taken for the whole one.
    if (fresh) rmSync(destination, { recursive: true, force: true });
    throw error;
  }
  return result;
}

class Checkout {
  readonly #repo: Repo;
  readonly #options: CheckoutOptions;
  readonly #result: CheckoutResult;
  readonly #pause: () => Promise<void> | undefined;
  readonly #metas = new Map<Checksum, DirMeta>();
  readonly #union: UnionMode;
  readonly #canLink: boolean;
  /** The trees between the root and here. */
  readonly #above = new Set<Checksum>();

  constructor(repo: Repo, options: CheckoutOptions, result: CheckoutResult) {
    this.#repo = repo;
    this.#options = options;
    this.#result = result;
    this.#union = options.union ?? 'none';
    this.#pause = breather(options.signal);
    // A bare-user object has the content but not the owner: right for -U only; a bare object is right for itself only.
    const fits = options.user ? repo.mode === 'bare-user' || repo.mode === 'bare-user-only' : repo.mode === 'bare';
    this.#canLink = fits && !options.forceCopy;
    if (options.requireHardlinks && !this.#canLink) {
      const reason =
        repo.mode === 'bare-user' || repo.mode === 'bare-user-only'
          ? 'User repository mode requires user checkout mode to hardlink'
          : options.user
            ? 'Bare repository mode cannot hardlink in user checkout mode'
            : `A repository of mode ${repo.mode} has no files to hardlink`;
      throw new AtomicError('invalid', reason);
    }
  }

  async directory(tree: Checksum, meta: Checksum, path: string, root: boolean): Promise<void> {
    // No hash can contain itself; a repository that was tampered with can say so, for ever.
    if (this.#above.has(tree)) throw corrupt(`Corrupted dirtree object ${tree}: it contains itself`);
    this.#above.add(tree);
    let existed = false;
    try {
      mkdirSync(path, 0o700);
    } catch (error) {
      if (errnoCode(error) !== 'EEXIST' || this.#union === 'none') throw this.#explain(error, path, root);
      if (!lstatSync(path).isDirectory()) {
        if (this.#union !== 'overwrite') throw this.#explain(error, path, false);
        rmSync(path);
        mkdirSync(path, 0o700);
      } else existed = true;
    }
    this.#result.directories++;
    const listing = this.#repo.loadDirTree(tree);
    for (const { name, checksum } of listing.files) {
      const turn = this.#pause();
      if (turn !== undefined) {
        await turn;
        this.#options.progress?.({ phase: 'Checking out', done: this.#result.files });
      }
      await this.file(checksum, `${path}/${name}`);
    }
    for (const dir of listing.dirs) await this.directory(dir.tree, dir.meta, `${path}/${dir.name}`, false);
    this.#above.delete(tree);
    if (!existed || this.#union === 'overwrite' || this.#union === 'identical')
      this.#finishDirectory(meta, path, existed);
  }

  #finishDirectory(checksum: Checksum, path: string, existed: boolean): void {
    let meta = this.#metas.get(checksum);
    if (meta === undefined) {
      meta = this.#repo.loadDirMeta(checksum);
      this.#metas.set(checksum, meta);
    }
    if (!this.#options.user) {
      chownSync(path, meta.uid, meta.gid);
      for (const { name, value } of meta.xattrs) lsetxattr(path, name.toString(), value);
    }
    chmodSync(path, meta.mode & 0o7777);
    if (!existed) utimesSync(path, 0, 0);
  }

  async file(checksum: Checksum, path: string): Promise<void> {
    this.#result.files++;
    if (this.#union === 'none') {
      try {
        await this.#create(checksum, path);
      } catch (error) {
        throw this.#explain(error, path, false);
      }
      return;
    }
    const there = lstatSync(path, { throwIfNoEntry: false });
    if (there === undefined) return this.#create(checksum, path);
    if (this.#union === 'add') return;
    if (this.#union === 'identical') {
      if (await this.#same(checksum, path)) return;
      throw new AtomicError('exists', `File '${path}' is different from the one to be checked out`);
    }
    if (there.isDirectory())
      throw new AtomicError('exists', `${path} is a directory, to be replaced by a file: Is a directory`);
    // Replaced by rename: whoever reads the path sees the old or the new file.
    const aside = `${path}.atomic-tmp`;
    rmSync(aside, { force: true });
    await this.#create(checksum, aside);
    renameSync(aside, path);
    rmSync(aside, { force: true }); // when both were one inode, rename(2) left it
  }

  async #create(checksum: Checksum, path: string): Promise<void> {
    if (this.#canLink) {
      const object = this.#repo.objectPath('file', checksum);
      const linkable = this.#repo.mode !== 'bare-user' || this.#bareUserLinkable(checksum);
      if (linkable && !(this.#options.copyEmpty && isEmptyFile(object))) {
        try {
          linkSync(object, path);
          this.#result.linked++;
          return;
        } catch (error) {
          const code = errnoCode(error);
          if (code === 'ENOENT' && !this.#repo.hasObject('file', checksum)) {
            throw new AtomicError('not-found', `No such file object ${checksum}, for ${path}`);
          }
          if ((code !== 'EXDEV' && code !== 'EMLINK' && code !== 'EPERM') || this.#options.requireHardlinks)
            throw error;
        }
      }
    }
    await this.#copy(checksum, path);
    this.#result.copied++;
  }

  /** Symlinks are files there; and stock copies what is empty or unreadable, so modes are the commit's own. */
  #bareUserLinkable(checksum: Checksum): boolean {
    const { header, size } = this.#repo.loadFile(checksum);
    return !isSymlink(header.mode) && !(this.#options.user && (size === 0 || (header.mode & 0o400) === 0));
  }

  async #copy(checksum: Checksum, path: string): Promise<void> {
    const file = this.#repo.loadFile(checksum);
    const { header } = file;
    if (isSymlink(header.mode)) {
      symlinkSync(header.target, path);
      if (!this.#options.user) {
        lchownSync(path, header.uid, header.gid);
        for (const { name, value } of header.xattrs) lsetxattr(path, name.toString(), value);
      }
      lutimesSync(path, 0, 0);
      return;
    }
    if (file.path !== null) copyFileSync(file.path, path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    else if (file.size > 1 << 22) await pipeline(file.open(), createWriteStream(path, { flags: 'wx', mode: 0o600 }));
    else writeFileSync(path, file.readContent(), { flag: 'wx', mode: 0o600 });
    this.#finishFile(path, header);
  }

  #finishFile(path: string, header: FileHeader): void {
    const fd = openSync(path, constants.O_RDONLY);
    try {
      if (!this.#options.user) fchownSync(fd, header.uid, header.gid);
      fchmodSync(fd, this.#options.user ? (header.mode & 0o1777) | 0o400 : header.mode & 0o7777);
      if (!this.#options.user) for (const { name, value } of header.xattrs) fsetxattr(fd, name.toString(), value);
      futimesSync(fd, 0, 0);
    } finally {
      closeSync(fd);
    }
  }

  async #same(checksum: Checksum, path: string): Promise<boolean> {
    const object = lstatSync(this.#repo.objectPath('file', checksum), { throwIfNoEntry: false });
    const there = lstatSync(path);
    if (object !== undefined && object.dev === there.dev && object.ino === there.ino) return true;
    const { checksumPath } = await import('../commit/checksum-path.ts');
    return (await checksumPath(path)) === checksum;
  }

  #explain(error: unknown, path: string, root: boolean): unknown {
    if (errnoCode(error) !== 'EEXIST') return error;
    return new AtomicError('exists', `${path}: File exists`, {
      hint: root ? 'check out into a new directory, or say --union, --union-add or --union-identical' : undefined,
      cause: error,
    });
  }
}

function isEmptyFile(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat?.isFile() === true && stat.size === 0;
}
