import {
  closeSync,
  constants,
  ftruncateSync,
  lchownSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { errnoCode, readXattrs } from '@atomic/linux';
import { copyDirectoryAttributes, copyRegular, copySymlinkXattrs } from './copy-entry.ts';
import { join, kindOf, parentOf, sameEntry, shown, Tree } from './etc-merge.ts';

const ASIDE = '.atomic-mirror~';

/** What a mirroring did; paths relative to the folder. */
export interface Mirrored {
  written: string[];
  removed: string[];
}

/**
 * Makes a folder the same as another: content, kinds, owners, modes and attributes; what is only there is removed. Files
 * are replaced by rename, so that those who read them meanwhile see the old or the new one, and a run that was cut off
 * is completed by the next. Sockets, fifos and devices are left alone on both sides.
 */
export function mirrorTree(from: string, to: string): Mirrored {
  const done: Mirrored = { written: [], removed: [] };
  mirrorFolder(new Tree(from), new Tree(to), '', done);
  return done;
}

function mirrorFolder(from: Tree, to: Tree, folder: string, done: Mirrored): void {
  const names = new Set(from.list(folder));
  for (const name of to.list(folder)) {
    const path = join(folder, name);
    const stat = to.stat(path);
    if (names.has(name) || stat === null || kindOf(stat) === 'special') continue;
    if (remove(to, path)) done.removed.push(shown(path));
  }
  for (const name of names) {
    const path = join(folder, name);
    const stat = from.stat(path);
    if (stat === null || kindOf(stat) === 'special' || name.startsWith(ASIDE)) continue;
    const there = to.stat(path);
    const replaced = there !== null && kindOf(there) !== kindOf(stat) && remove(to, path);
    if (stat.isDirectory()) {
      if (there === null || replaced) {
        mkdirSync(to.at(path), { mode: 0o700 });
        done.written.push(shown(path));
      } else if (!same(from, to, path)) done.written.push(shown(path));
      mirrorFolder(from, to, path, done);
    } else if (there === null || replaced || !same(from, to, path)) {
      put(from, to, folder, path);
      done.written.push(shown(path));
    }
  }
  // Last: writing into it changes its time, and a folder may be closed to us by its mode.
  copyDirectoryAttributes(from.at(folder), to.at(folder), true);
}

/** Puts one entry of a tree into another, replacing what is there; a folder without what is in it. */
export function mirrorEntry(from: Tree, to: Tree, path: string): void {
  const stat = from.stat(path);
  if (stat === null) return;
  const there = to.stat(path);
  if (there !== null && kindOf(there) !== kindOf(stat)) remove(to, path);
  if (!stat.isDirectory()) {
    put(from, to, parentOf(path), path);
    return;
  }
  if (to.stat(path) === null) mkdirSync(to.at(path), { mode: 0o700 });
  copyDirectoryAttributes(from.at(path), to.at(path), true);
}

function same(from: Tree, to: Tree, path: string): boolean {
  return sameEntry(from, to, path) && attributes(from.at(path)) === attributes(to.at(path));
}

function attributes(path: Buffer): string {
  const text = path.toString();
  if (!Buffer.from(text).equals(path)) return '';
  return readXattrs(text)
    .map(({ name, value }) => `${name}=${Buffer.from(value).toString('hex')}`)
    .sort()
    .join(' ');
}

/** A mount point (a container's /etc/resolv.conf) cannot be removed; false then. */
function remove(tree: Tree, path: string): boolean {
  try {
    rmSync(tree.at(path), { recursive: true, force: true });
    return true;
  } catch (error) {
    if (errnoCode(error) === 'EBUSY') return false;
    throw error;
  }
}

function put(from: Tree, to: Tree, folder: string, path: string): void {
  const stat = from.stat(path);
  if (stat === null) return;
  const aside = join(folder, `${ASIDE}${process.pid}`);
  rmSync(to.at(aside), { recursive: true, force: true });
  if (stat.isSymbolicLink()) {
    symlinkSync(readlinkSync(from.at(path), 'buffer'), to.at(aside));
    lchownSync(to.at(aside), stat.uid, stat.gid);
    copySymlinkXattrs(from.at(path), to.at(aside));
  } else copyRegular(from.at(path), to.at(aside), true);
  try {
    renameSync(to.at(aside), to.at(path));
  } catch (error) {
    rmSync(to.at(aside), { force: true });
    if (errnoCode(error) !== 'EBUSY' || !stat.isFile()) throw error;
    overwrite(to.at(path), readFileSync(from.at(path)));
  }
}

/** A file that is a mount point keeps its inode. */
function overwrite(path: Buffer, content: Buffer): void {
  const fd = openSync(path, constants.O_WRONLY);
  try {
    ftruncateSync(fd, 0);
    for (let at = 0; at < content.length; ) at += writeSync(fd, content, at);
  } finally {
    closeSync(fd);
  }
}
