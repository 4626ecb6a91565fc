import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  copyFileSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readlinkSync,
  readSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { errnoCode, fsyncPath } from '@atomic/linux';
import { AtomicError } from '@atomic/ostree';

const CHUNK = 1 << 18;

function digestOf(path: string): string {
  const hash = createHash('sha256');
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const chunk = Buffer.allocUnsafe(CHUNK);
    for (let n = readSync(fd, chunk); n > 0; n = readSync(fd, chunk)) hash.update(chunk.subarray(0, n));
  } finally {
    closeSync(fd);
  }
  return hash.digest('hex');
}

/**
 * What a path of the host is, in one line that is equal for equal things: `file MODE UID:GID SHA256`, `link TARGET`,
 * `folder`, `special`; null where there is nothing. Times and attributes make no difference.
 */
export function hostState(path: string): string | null {
  try {
    const stat = lstatSync(path);
    if (stat.isSymbolicLink()) return `link ${readlinkSync(path)}`;
    if (stat.isDirectory()) return 'folder';
    if (!stat.isFile()) return 'special';
    return `file ${(stat.mode & 0o7777).toString(8)} ${stat.uid}:${stat.gid} ${digestOf(path)}`;
  } catch (error) {
    if (errnoCode(error) === 'ENOENT' || errnoCode(error) === 'ENOTDIR') return null;
    throw error;
  }
}

/** A name beside `path` that an interrupted write may leave and the next one takes again. */
const asideOf = (path: string): string => join(dirname(path), `.${basename(path)}.atomic-new`);

/**
 * Puts a copy of `source` (a file or a symlink) at a path of the host: written aside, flushed, renamed over. A copy, not
 * a hard link: who edits it in place must not change the store.
 */
export function placeFile(source: string, path: string): void {
  const aside = asideOf(path);
  rmSync(aside, { force: true });
  const stat = lstatSync(source);
  try {
    if (stat.isSymbolicLink()) symlinkSync(readlinkSync(source), aside);
    else {
      copyFileSync(source, aside, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
      const fd = openSync(aside, constants.O_RDONLY);
      try {
        fchownSync(fd, stat.uid, stat.gid);
        fchmodSync(fd, stat.mode & 0o7777);
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
    }
    renameSync(aside, path);
  } catch (error) {
    rmSync(aside, { force: true });
    throw explain(path, error);
  }
  fsyncPath(dirname(path));
}

/** Removes what {@link placeFile} left when it was cut off. */
export function removeAside(path: string): void {
  const aside = asideOf(path);
  if (hostState(aside) !== null) rmSync(aside);
}

/** Removes a file of the host. */
export function removeFile(path: string): void {
  try {
    rmSync(path, { force: true });
    removeAside(path);
  } catch (error) {
    throw explain(path, error);
  }
  try {
    fsyncPath(dirname(path));
  } catch (error) {
    // Its folder went with it.
    if (errnoCode(error) !== 'ENOENT') throw error;
  }
}

/** Makes a folder of the host; one that is there stays as it is. */
export function makeFolder(path: string): void {
  try {
    mkdirSync(path, { mode: 0o755 });
  } catch (error) {
    if (errnoCode(error) === 'EEXIST') return;
    throw explain(path, error);
  }
  fsyncPath(dirname(path));
}

/** Removes a folder of the host if nothing is in it. */
export function dropFolder(path: string): void {
  try {
    rmdirSync(path);
  } catch (error) {
    if (!['ENOENT', 'ENOTEMPTY', 'EEXIST', 'ENOTDIR', 'EBUSY'].includes(errnoCode(error) ?? '')) throw error;
  }
}

function explain(path: string, error: unknown): unknown {
  const code = errnoCode(error);
  if (code === 'EROFS') {
    return new AtomicError('permission', `cannot write ${path}: this machine's file system there is read-only`, {
      hint: 'where the image allows it, put the file elsewhere (renameFiles); /usr/local and /etc can be written',
      cause: error,
    });
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return new AtomicError('permission', `cannot write ${path}: permission denied`, {
      hint: 'run as root, or install it with --user',
      cause: error,
    });
  }
  if (code === 'ENOSPC') return new AtomicError('no-space', `cannot write ${path}: the disk is full`, { cause: error });
  return error;
}
