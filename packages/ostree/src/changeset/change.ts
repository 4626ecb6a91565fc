import type { Stats } from 'node:fs';
import { AtomicError } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import type { Xattr } from '../objects/xattrs.ts';

/** Owner, permissions and attributes that a change gives an entry. */
export interface Attributes {
  uid: number;
  gid: number;
  /** Permission bits. */
  mode: number;
  xattrs: Xattr[];
}

/** Where the content of a changed file comes from. */
export type Content =
  /** `clean`: the attributes on disk are those of the change, and no others. */
  | { from: 'disk'; path: string; stat: Stats; clean: boolean }
  /** An object of the repository the changes are made for. */
  | { from: 'object'; checksum: Checksum }
  /** To be read before the next change is asked for. */
  | { from: 'stream'; bytes: AsyncIterable<Uint8Array> };

/** A directory that is new or whose attributes changed. What it holds is in changes of its own. */
export interface DirChange extends Attributes {
  kind: 'dir';
  path: string;
  /** It goes on from this directory of the tree below, not from the one at its own path: it was renamed. */
  origin?: string | undefined;
}

export interface FileChange extends Attributes {
  kind: 'file';
  path: string;
  /** Bytes of content. */
  size: number;
  content: Content;
}

export interface SymlinkChange extends Attributes {
  kind: 'symlink';
  path: string;
  target: string;
}

/** A further name of the file at `to`, of this changeset or of the tree below. */
export interface HardlinkChange {
  kind: 'hardlink';
  path: string;
  to: string;
}

/** A file whose attributes changed and whose content is still that of `origin` in the tree below. */
export interface MetaChange extends Attributes {
  kind: 'meta';
  path: string;
  origin: string;
}

/** What the tree below has there is gone; what the changeset itself has there is not. */
export interface RemoveChange {
  kind: 'remove';
  path: string;
}

/** A directory stays, and what the tree below has in it is gone; what the changeset itself has there is not. */
export interface ClearChange {
  kind: 'clear';
  path: string;
}

/**
 * One step from a tree to another. Paths are relative to the root, without a slash at either end; the root's own is
 * empty. A directory comes before what is in it.
 */
export type Change = DirChange | FileChange | SymlinkChange | HardlinkChange | MetaChange | RemoveChange | ClearChange;

/** A name a file system takes, in bytes; and a path. */
const LONGEST_NAME = 255;
const LONGEST_PATH = 4096;
/** Deeper nests only what wants to take memory. */
const DEEPEST = 512;

/**
 * The names in a path of a changeset, leading slashes and `.` left out. Throws `invalid` for `..`, NUL, and what is too
 * long to be made on a disk.
 */
export function pathNames(path: string): string[] {
  if (path.length > LONGEST_PATH || Buffer.byteLength(path) > LONGEST_PATH)
    throw new AtomicError('invalid', `Path '${path.slice(0, 100)}…' is too long`);
  if (path.includes('\0')) throw new AtomicError('invalid', `Invalid NUL in path ${path.replaceAll('\0', '\\0')}`);
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  if (names.length > DEEPEST) throw new AtomicError('invalid', `Path '${path.slice(0, 100)}…' is nested too deep`);
  for (const name of names) {
    if (name === '..') throw new AtomicError('invalid', `Invalid uplink '..' in path ${path}`);
    if (name.length > LONGEST_NAME / 4 && Buffer.byteLength(name) > LONGEST_NAME)
      throw new AtomicError('invalid', `Name '${name.slice(0, 100)}…' is too long`);
  }
  return names;
}
