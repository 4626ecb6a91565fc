import {
  closeSync,
  constants,
  lchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  rmSync,
  type Stats,
  symlinkSync,
  unlinkSync,
} from 'node:fs';
import { errnoCode } from '@atomic/linux';
import { AtomicError } from '@atomic/ostree';
import { copyDirectoryAttributes, copyRegular, copySymlinkXattrs } from './copy-entry.ts';

/**
 * The three-way merge of /etc, as libostree does it (merge_configuration_from in ostree-sysroot-deploy.c): the
 * difference between a deployment's defaults (/usr/etc) and its /etc is applied to the new deployment's /etc, which
 * starts as a copy of the new defaults. What was changed here wins, file by file; nothing is merged within a file.
 * Extended attributes do not make a difference (labels differ between the two folders anyway) but travel with what is
 * copied. A folder's own owner and mode travel when something directly in it does.
 *
 * Names are bytes: they are held as latin1 strings, so that one that is not UTF-8 survives.
 */

/** Paths relative to /etc, parents before what is in them. */
export interface EtcDiff {
  removed: string[];
  modified: string[];
  added: string[];
}

type Kind = 'file' | 'directory' | 'symlink' | 'special';

export const kindOf = (stat: Stats): Kind =>
  stat.isFile() ? 'file' : stat.isDirectory() ? 'directory' : stat.isSymbolicLink() ? 'symlink' : 'special';

/** A folder whose entries are named by bytes. */
export class Tree {
  readonly #root: Buffer;

  constructor(root: string) {
    this.#root = Buffer.from(`${root}/`);
  }
  at(path: string): Buffer {
    return Buffer.concat([this.#root, Buffer.from(path, 'latin1')]);
  }
  stat(path: string): Stats | null {
    try {
      return lstatSync(this.at(path));
    } catch (error) {
      if (errnoCode(error) === 'ENOENT' || errnoCode(error) === 'ENOTDIR') return null;
      throw error;
    }
  }
  /** What is at a path, by way of folders alone: a link on the way leads elsewhere, or in a circle. */
  statInside(path: string): Stats | null {
    const above = parentOf(path);
    if (above !== '' && this.statInside(above)?.isDirectory() !== true) return null;
    return this.stat(path);
  }
  list(path: string): string[] {
    return readdirSync(this.at(path), { encoding: 'latin1' }).sort();
  }
}

export const join = (folder: string, name: string) => (folder === '' ? name : `${folder}/${name}`);
export const parentOf = (path: string) => path.slice(0, Math.max(0, path.lastIndexOf('/')));
export const shown = (path: string) => Buffer.from(path, 'latin1').toString();

/** What `current` (an /etc) changed of `defaults` (its /usr/etc). */
export function diffEtc(defaults: string, current: string): EtcDiff {
  const diff: EtcDiff = { removed: [], modified: [], added: [] };
  const before = new Tree(defaults);
  const after = new Tree(current);
  const addAll = (path: string, stat: Stats | null) => {
    if (stat === null) return; // gone while we looked: the system is running
    diff.added.push(path);
    if (stat.isDirectory()) for (const name of after.list(path)) addAll(join(path, name), after.stat(join(path, name)));
  };
  const walk = (folder: string) => {
    const names = before.list(folder);
    for (const name of names) {
      const path = join(folder, name);
      const a = before.stat(path);
      const b = after.stat(path);
      if (a === null) continue;
      if (b === null) diff.removed.push(path);
      else if (kindOf(a) !== kindOf(b)) diff.modified.push(path);
      else {
        if (!same(before.at(path), a, after.at(path), b)) diff.modified.push(path);
        if (a.isDirectory()) walk(path);
      }
    }
    const known = new Set(names);
    for (const name of after.list(folder)) {
      if (!known.has(name)) addAll(join(folder, name), after.stat(join(folder, name)));
    }
  };
  walk('');
  return diff;
}

/** Whether a path is the same in two trees: kind, content, owner and mode (of a folder, without what is in it). */
export function sameEntry(one: Tree, other: Tree, path: string): boolean {
  const a = one.stat(path);
  const b = other.stat(path);
  if (a === null || b === null || kindOf(a) !== kindOf(b)) return false;
  return same(one.at(path), a, other.at(path), b);
}

function same(pathA: Buffer, a: Stats, pathB: Buffer, b: Stats): boolean {
  // Two checkouts share the files that did not change.
  if (a.ino === b.ino && a.dev === b.dev) return true;
  if (a.mode !== b.mode || a.uid !== b.uid || a.gid !== b.gid) return false;
  const kind = kindOf(a);
  if (kind === 'file') return a.size === b.size && sameContent(pathA, pathB);
  if (kind === 'symlink') return readlinkSync(pathA, 'latin1') === readlinkSync(pathB, 'latin1');
  return kind === 'directory' || a.rdev === b.rdev;
}

const CHUNK = 65536;
const chunkA = Buffer.allocUnsafe(CHUNK);
const chunkB = Buffer.allocUnsafe(CHUNK);

function sameContent(pathA: Buffer, pathB: Buffer): boolean {
  const a = openSync(pathA, constants.O_RDONLY);
  try {
    const b = openSync(pathB, constants.O_RDONLY);
    try {
      for (;;) {
        const n = readSync(a, chunkA, 0, CHUNK, null);
        const m = readSync(b, chunkB, 0, CHUNK, null);
        if (n !== m || chunkA.compare(chunkB, 0, n, 0, n) !== 0) return false;
        if (n === 0) return true;
      }
    } finally {
      closeSync(b);
    }
  } finally {
    closeSync(a);
  }
}

/** The sources and the folder written, and the checks that keep writing inside it. */
class Merge {
  readonly #current: Tree;
  readonly #target: Tree;
  readonly #xattrs: boolean;
  /** Folders of the target known to be real ones, all the way down. */
  readonly #real = new Set<string>(['']);

  constructor(current: string, target: string, xattrs: boolean) {
    this.#current = new Tree(current);
    this.#target = new Tree(target);
    this.#xattrs = xattrs;
  }

  remove(path: string): void {
    // Below something the new tree no longer has as a folder there is nothing to remove.
    if (this.#isReal(parentOf(path))) rmSync(this.#target.at(path), { recursive: true, force: true });
    for (const known of this.#real) if (known === path || known.startsWith(`${path}/`)) this.#real.delete(known);
  }

  /** Puts the current file, link or folder at `path` into the target. */
  copy(path: string): void {
    const stat = this.#current.stat(path);
    if (stat === null) return;
    const parent = parentOf(path);
    if (parent !== '') this.#ensureDirectory(parent);
    const there = this.#target.stat(path);
    if (there?.isDirectory()) {
      if (stat.isDirectory()) return; // what is in it comes by itself
      throw clash(`Modified config file newly defaults to directory '${shown(path)}', cannot merge`);
    }
    if (there !== null) unlinkSync(this.#target.at(path));
    this.#copyNew(path, stat);
  }

  #copyNew(path: string, stat: Stats): void {
    const from = this.#current.at(path);
    const to = this.#target.at(path);
    switch (kindOf(stat)) {
      case 'directory':
        mkdirSync(to, 0o700);
        copyDirectoryAttributes(from, to, this.#xattrs);
        for (const name of this.#current.list(path)) {
          const child = this.#current.stat(join(path, name));
          if (child !== null) this.#copyNew(join(path, name), child);
        }
        break;
      case 'file':
        copyRegular(from, to, this.#xattrs);
        break;
      case 'symlink':
        symlinkSync(readlinkSync(from, 'buffer'), to);
        lchownSync(to, stat.uid, stat.gid);
        if (this.#xattrs) copySymlinkXattrs(from, to);
        break;
      case 'special': // sockets, fifos, devices: not configuration
        break;
    }
  }

  /** Makes a folder, and those above it, like the current one. */
  #ensureDirectory(path: string): void {
    if (!this.#isReal(path)) {
      const parent = parentOf(path);
      if (!this.#isReal(parent)) this.#ensureDirectory(parent);
      try {
        mkdirSync(this.#target.at(path), 0o700);
        this.#real.add(path);
      } catch (error) {
        if (errnoCode(error) !== 'EEXIST') throw error;
        // Following a link could lead out of the deployment, into the running system.
        throw clash(`Folder '${shown(path)}' with local changes is no folder in the new defaults, cannot merge`);
      }
    }
    copyDirectoryAttributes(this.#current.at(path), this.#target.at(path), this.#xattrs);
  }

  #isReal(path: string): boolean {
    if (this.#real.has(path)) return true;
    if (!this.#isReal(parentOf(path)) || this.#target.stat(path)?.isDirectory() !== true) return false;
    this.#real.add(path);
    return true;
  }
}

const clash = (message: string) =>
  new AtomicError('invalid', `During /etc merge: ${message}`, {
    hint: 'move the local version out of /etc and run the upgrade again',
  });

/** Applies a difference to `target`; throws `invalid` where a local file stands against a new folder or the reverse. */
export function applyEtc(diff: EtcDiff, current: string, target: string, options: { xattrs?: boolean } = {}): void {
  const merge = new Merge(current, target, options.xattrs ?? true);
  for (const path of diff.removed) merge.remove(path);
  for (const path of [...diff.modified, ...diff.added]) merge.copy(path);
}

/** Merges the local changes of one deployment's /etc into another's. Returns what they were. */
export function mergeEtc(options: { defaults: string; current: string; target: string; xattrs?: boolean }): EtcDiff {
  const diff = diffEtc(options.defaults, options.current);
  applyEtc(diff, options.current, options.target, options);
  return diff;
}
