import {
  closeSync,
  constants,
  createWriteStream,
  fchmodSync,
  fchownSync,
  lchownSync,
  linkSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  type Stats,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { threadId } from 'node:worker_threads';
import { copyContent, errnoCode, fsetxattr, lsetxattr } from '@atomic/linux';
import { checksumFile } from '../commit/checksum-path.ts';
import { AtomicError } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import type { FileEntry } from '../objects/dirtree.ts';
import type { FileHeader } from '../objects/file.ts';
import { isSymlink } from '../objects/mode.ts';
import type { Xattr } from '../objects/xattrs.ts';
import { explain } from '../repo/explain.ts';
import type { StoredFile } from '../repo/load-file.ts';
import type { Repo } from '../repo/repo.ts';
import { linkSource } from './link-source.ts';
import { placeWhiteout } from './whiteout.ts';

/** What to do where something is already: fail, replace it, keep it, or accept it if it is the same. */
export type UnionMode = 'none' | 'overwrite' | 'add' | 'identical';

/** How files are put in place: plain data, so that a worker thread can have it too. */
export interface PlaceOptions {
  /** Keep neither owners nor attributes, and drop setuid bits. */
  user: boolean;
  union: UnionMode;
  requireHardlinks: boolean;
  forceCopy: boolean;
  /** Do what `.wh.NAME` says (remove NAME) instead of checking it out. */
  whiteouts: boolean;
  /** Turn `.ostree-wh.NAME` into the device that overlayfs takes for a whiteout. */
  passthroughWhiteouts: boolean;
  /** Link from an archive repository's cache of unpacked files, and say what could be added to it. */
  cache: boolean;
  /** Link empty files too. */
  linkEmpty: boolean;
}

/** Files of one folder that are to be placed there. */
export interface FolderFiles {
  folder: string;
  files: readonly FileEntry[];
}

/** What became of files. */
export interface Placed {
  linked: number;
  copied: number;
  /** Unpacked files that the cache does not hold: their checksums, and where they lie now. */
  uncached: { checksum: Checksum; path: string }[];
}

/** The SELinux label of a file, or null for none; `path` is absolute in the tree. */
export type Label = (path: string, mode: number) => string | null;

const WHITEOUT = '.wh.';
const QUOTED_WHITEOUT = '.ostree-wh.';
/** From here on content is streamed: memory must not grow with a file. */
const STREAM_FROM = 4 << 20;
/** Up to here reading and writing is cheaper than setting up a copy in the kernel. */
const COPY_FROM = 1 << 16;

let serial = 0;

/** Places single files of a checkout. Synchronous but for large content that must be unpacked. */
export class Placer {
  readonly #repo: Repo;
  readonly #options: PlaceOptions;
  readonly label: Label;
  readonly #labels: boolean;
  readonly #xattrs: boolean;
  #placed: Placed = { linked: 0, copied: 0, uncached: [] };

  constructor(repo: Repo, options: PlaceOptions, label: Label | null = null) {
    this.#repo = repo;
    this.#options = options;
    this.label = label ?? (() => null);
    this.#labels = label !== null;
    this.#xattrs = !options.user && repo.config.getBoolean('core', 'disable-xattrs') !== true;
  }

  /** What was placed since this was last asked. */
  take(): Placed {
    const placed = this.#placed;
    this.#placed = { linked: 0, copied: 0, uncached: [] };
    return placed;
  }

  /** Places files of a folder; see {@link place}. A promise only when something large must be unpacked. */
  placeAll(folder: string, files: readonly FileEntry[]): Placed | Promise<Placed> {
    for (const [i, { name, checksum }] of files.entries()) {
      const pending = this.place(folder, name, checksum, '');
      if (pending !== undefined) return pending.then(() => this.#rest(folder, files.slice(i + 1)));
    }
    return this.take();
  }

  async #rest(folder: string, files: readonly FileEntry[]): Promise<Placed> {
    for (const { name, checksum } of files) await this.place(folder, name, checksum, '');
    return this.take();
  }

  /** Puts a file of the tree at `folder/name`; `inTree` is its absolute path in the tree, for labels. */
  place(folder: string, name: string, checksum: Checksum, inTree: string): undefined | Promise<void> {
    const path = `${folder}/${name}`;
    try {
      const { whiteouts, passthroughWhiteouts, forceCopy } = this.#options;
      if (whiteouts && name.startsWith(WHITEOUT) && !this.#isSymlink(checksum)) {
        const hidden = name.slice(WHITEOUT.length);
        if (hidden === '') throw new AtomicError('invalid', `Invalid empty whiteout '${name}'`);
        // A name cannot hold a slash, but `.wh...` would hide the folder above.
        if (hidden !== '.' && hidden !== '..') rmSync(`${folder}/${hidden}`, { recursive: true, force: true });
        return undefined;
      }
      if (passthroughWhiteouts && name.startsWith(QUOTED_WHITEOUT)) {
        const file = this.#repo.loadFile(checksum);
        if (!isSymlink(file.header.mode)) {
          const { user, union } = this.#options;
          const options = { user, union, xattrs: this.#xattrs };
          if (placeWhiteout(folder, name.slice(QUOTED_WHITEOUT.length), file.header, options)) this.#placed.copied++;
          return undefined;
        }
      }
      if (!forceCopy && this.#link(checksum, path)) return undefined;
      return this.#copy(checksum, path, inTree);
    } catch (error) {
      throw explain(error, path);
    }
  }

  #isSymlink(checksum: Checksum): boolean {
    return isSymlink(this.#repo.loadFile(checksum).header.mode);
  }

  // -- hard links ----------------------------------------------------------------------------------------------

  /** Tries to make the file a link to its object, here or in a parent repository; false when it is to be copied. */
  #link(checksum: Checksum, path: string): boolean {
    for (let repo: Repo | null = this.#repo; repo !== null; repo = repo.parent) {
      const object = linkSource(repo, checksum, this.#options);
      if (object === 'copy') return false;
      if (object === 'absent') continue;
      try {
        linkSync(object, path);
        this.#placed.linked++;
        return true;
      } catch (error) {
        const code = errnoCode(error);
        if (code === 'EEXIST') {
          this.#linkOver(object, checksum, path, error);
          return true;
        }
        if (code === 'ENOENT' && lstatSync(object, { throwIfNoEntry: false }) === undefined) continue;
        if (code === 'EXDEV' && this.#options.requireHardlinks)
          throw new AtomicError('failed', `Unable to do hardlink checkout across devices: ${object} to ${path}`, {
            cause: error,
          });
        const copyable = code === 'EXDEV' || code === 'EMLINK' || code === 'EPERM';
        if (!copyable || this.#options.requireHardlinks) throw error;
        return false;
      }
    }
    return false;
  }

  /** Something has the file's name already. */
  #linkOver(object: string, checksum: Checksum, path: string, error: unknown): void {
    const { union, whiteouts } = this.#options;
    if (union === 'add') return;
    if (union === 'none') throw error;
    const ours = lstatSync(object);
    const there = lstatSync(path);
    if (ours.dev === there.dev && ours.ino === there.ino) return;
    if (looksLike(ours, there) && this.#hasChecksum(path, checksum)) return;
    if (union === 'identical') throw error;
    // Replaced by rename: whoever reads the path sees the old or the new file.
    const aside = asideOf(path);
    linkSync(object, aside);
    try {
      if (whiteouts) rmSync(path, { recursive: true, force: true });
      renameSync(aside, path);
    } finally {
      rmSync(aside, { force: true });
    }
    this.#placed.linked++;
  }

  #hasChecksum(path: string, checksum: Checksum): boolean {
    const canonical = this.#repo.mode === 'bare-user-only';
    const ignoreXattrs = canonical || this.#repo.config.getBoolean('core', 'disable-xattrs') === true;
    return checksumFile(path, { ignoreXattrs, canonicalPermissions: canonical }) === checksum;
  }

  // -- copies --------------------------------------------------------------------------------------------------

  #copy(checksum: Checksum, path: string, inTree: string): undefined | Promise<void> {
    const file = this.#repo.loadFile(checksum);
    const { header } = file;
    const { union, whiteouts } = this.#options;
    if (union === 'none') return this.#create(file, checksum, path, inTree);
    const there = lstatSync(path, { throwIfNoEntry: false });
    if (there === undefined) return this.#create(file, checksum, path, inTree);
    switch (union) {
      case 'add':
        return undefined;
      case 'identical':
        if (isSymlink(header.mode) ? sameTarget(path, there, header.target) : this.#same(path, there, checksum))
          return undefined;
        throw new AtomicError('exists', `${path}: File exists`, { hint: 'it differs from the one in the commit' });
      case 'overwrite': {
        if (whiteouts) {
          rmSync(path, { recursive: true, force: true });
          return this.#create(file, checksum, path, inTree);
        }
        if (there.isDirectory()) throw new AtomicError('exists', `${path}: Is a directory`);
        const aside = asideOf(path);
        const moved = (): undefined => {
          renameSync(aside, path);
        };
        try {
          const pending = this.#create(file, checksum, aside, inTree, path);
          if (pending === undefined) return moved();
          return pending.then(moved, (error: unknown) => {
            rmSync(aside, { force: true });
            throw error;
          });
        } catch (error) {
          rmSync(aside, { force: true });
          throw error;
        }
      }
    }
  }

  #same(path: string, there: Stats, checksum: Checksum): boolean {
    return there.isFile() && this.#hasChecksum(path, checksum);
  }

  #create(file: StoredFile, checksum: Checksum, path: string, inTree: string, final = path): undefined | Promise<void> {
    const { header, size } = file;
    this.#placed.copied++;
    if (isSymlink(header.mode)) {
      symlinkSync(header.target, path);
      if (!this.#options.user) lchownSync(path, header.uid, header.gid);
      for (const { name, value } of this.#attributes(header, inTree)) lsetxattr(path, name, value);
      return undefined;
    }
    if (file.path === null && size > STREAM_FROM) {
      const finish = (): void => {
        const fd = openSync(path, constants.O_RDONLY);
        try {
          this.#finish(fd, header, inTree);
        } finally {
          closeSync(fd);
        }
        this.#offer(checksum, final, file);
      };
      return pipeline(file.open(), createWriteStream(path, { flags: 'wx', mode: 0o600 })).then(finish);
    }
    // Unpacked before the file is made, so that a damaged object leaves none.
    const content = file.path === null ? file.readContent() : null;
    const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
    try {
      if (content !== null) writeAll(fd, content);
      else if (file.path !== null) copyFrom(file.path, fd, size);
      this.#finish(fd, header, inTree);
    } finally {
      closeSync(fd);
    }
    this.#offer(checksum, final, file);
    return undefined;
  }

  /** Owner first: changing it takes setuid bits and capabilities away. */
  #finish(fd: number, header: FileHeader, inTree: string): void {
    const { user } = this.#options;
    if (!user) fchownSync(fd, header.uid, header.gid);
    for (const { name, value } of this.#attributes(header, inTree)) fsetxattr(fd, name, value);
    fchmodSync(fd, user ? (header.mode & 0o1777) | 0o400 : header.mode & 0o7777);
  }

  #attributes(header: FileHeader, inTree: string): readonly Xattr[] {
    if (!this.#xattrs) return [];
    return this.#labels ? withLabel(header.xattrs, this.label(inTree, header.mode)) : header.xattrs;
  }

  /** What a later checkout could link to as it is; see {@link linkSource} for the rest. */
  #offer(checksum: Checksum, path: string, { header, size }: StoredFile): void {
    if (this.#options.cache && this.#options.user && size > 0 && (header.mode & 0o400) !== 0) {
      this.#placed.uncached.push({ checksum, path });
    }
  }
}

/** Attributes with the policy's label in place of the commit's own. */
export function withLabel(xattrs: readonly Xattr[], label: string | null | undefined): readonly Xattr[] {
  if (label === undefined) return xattrs;
  const others = xattrs.filter(({ name }) => name.toString('latin1') !== 'security.selinux');
  if (label === null) return others;
  return [...others, { name: Buffer.from('security.selinux'), value: Buffer.from(label) }];
}

/** What can be seen without reading: when it differs, the files do. */
const looksLike = (a: Stats, b: Stats): boolean =>
  a.mode === b.mode && a.uid === b.uid && a.gid === b.gid && (!a.isFile() || a.size === b.size);

const sameTarget = (path: string, there: Stats, target: string): boolean =>
  there.isSymbolicLink() && readlinkSync(path) === target;

/** A name beside `path` that no tree of ours and no other thread uses, and that is short enough for any file system. */
const asideOf = (path: string): string =>
  `${path.slice(0, path.lastIndexOf('/') + 1)}.atomic-${process.pid}-${threadId}-${serial++}`;

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

const scratch = Buffer.allocUnsafeSlow(COPY_FROM);

/** Copies an object's content: small ones through memory, which costs less than asking for anything better. */
function copyFrom(path: string, to: number, size: number): void {
  const from = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    if (size > COPY_FROM) copyContent(from, to);
    else
      for (let got = readSync(from, scratch); got > 0; got = readSync(from, scratch))
        writeAll(to, scratch.subarray(0, got));
  } finally {
    closeSync(from);
  }
}
