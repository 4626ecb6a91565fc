import {
  closeSync,
  constants,
  copyFileSync,
  fchmodSync,
  fchownSync,
  futimesSync,
  lchownSync,
  lutimesSync,
  openSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { fsetxattr, lsetxattr } from '@atomic/linux';
import { AtomicError } from '../error.ts';
import { bareUserMeta, type FileHeader } from '../objects/file.ts';
import { isSymlink } from '../objects/mode.ts';
import type { RepoMode } from './repo.ts';

/** Everything in a bare repository has this modification time (OSTREE_TIMESTAMP), so checkouts are constant. */
const now = () => Date.now() / 1000;

/**
 * Gives a freshly written content file the shape of an object in a bare repository: owner, mode, attributes and
 * time, in the order that keeps them (chown drops setuid and capabilities).
 */
export function finishBareFile(mode: RepoMode, fd: number, header: FileHeader): void {
  switch (mode) {
    case 'bare':
      fchownSync(fd, header.uid, header.gid);
      fchmodSync(fd, header.mode & 0o7777);
      for (const { name, value } of header.xattrs) fsetxattr(fd, name.toString(), value);
      break;
    case 'bare-user':
      fsetxattr(fd, 'user.ostreemeta', bareUserMeta(header));
      fchmodSync(fd, isSymlink(header.mode) ? 0o644 : (header.mode & 0o775) | 0o400);
      break;
    case 'bare-user-only':
      checkBareUserOnly(header);
      fchmodSync(fd, header.mode & 0o775);
      break;
    case 'archive':
      fchmodSync(fd, 0o644);
      return;
  }
  futimesSync(fd, now(), 0);
}

function checkBareUserOnly(header: FileHeader): void {
  if ((header.mode & 0o7777 & ~0o775) !== 0 && !isSymlink(header.mode)) {
    throw new AtomicError(
      'invalid',
      `Invalid mode 0${header.mode.toString(8)} with bits 0${(header.mode & 0o7777 & ~0o775).toString(8)} in bare-user-only repository`,
    );
  }
}

/** Writes a bare object's file at `path` from content in memory. */
export function writeBareObject(mode: RepoMode, path: string, header: FileHeader, content: Uint8Array): void {
  if (isSymlink(header.mode) && mode !== 'bare-user') {
    symlinkSync(header.target, path);
    if (mode === 'bare') {
      lchownSync(path, header.uid, header.gid);
      for (const { name, value } of header.xattrs) lsetxattr(path, name.toString(), value);
    }
    lutimesSync(path, now(), 0);
    return;
  }
  const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    writeFileSync(fd, isSymlink(header.mode) ? Buffer.from(`${header.target}\0`) : content);
    finishBareFile(mode, fd, header);
  } finally {
    closeSync(fd);
  }
}

/** Copies a plain content file (by reflink where the file system can) and finishes it as an object. */
export function copyBareObject(mode: RepoMode, from: string, to: string, header: FileHeader): void {
  copyFileSync(from, to, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
  const fd = openSync(to, constants.O_RDONLY);
  try {
    finishBareFile(mode, fd, header);
  } finally {
    closeSync(fd);
  }
}
