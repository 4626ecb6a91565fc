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
  writeSync,
} from 'node:fs';
import { fsetxattr, lsetxattr } from '@atomic/linux';
import { AtomicError } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import { bareUserMeta, type FileHeader } from '../objects/file.ts';
import { isSymlink } from '../objects/mode.ts';
import type { RepoMode } from './mode.ts';

const now = () => Date.now() / 1000;

/**
 * Gives a freshly written content file the shape of an object in a repository: owner, mode, attributes and time, in
 * the order that keeps them (chown drops setuid and capabilities). Everything in a bare repository has modification
 * time 0 (OSTREE_TIMESTAMP), so checkouts are constant.
 */
export function finishBareFile(mode: RepoMode, fd: number, header: FileHeader): void {
  switch (mode) {
    case 'bare':
      fchownSync(fd, header.uid, header.gid);
      fchmodSync(fd, header.mode & 0o7777);
      for (const { name, value } of header.xattrs) fsetxattr(fd, name, value);
      break;
    case 'bare-user':
      fsetxattr(fd, 'user.ostreemeta', bareUserMeta(header));
      fchmodSync(fd, isSymlink(header.mode) ? 0o644 : (header.mode & 0o775) | 0o400);
      break;
    case 'bare-user-only':
      fchmodSync(fd, header.mode & 0o775);
      break;
    case 'bare-split-xattrs':
      // All that upstream's writer does there; its own fsck finds the object wrong.
      break;
    case 'archive':
      fchmodSync(fd, 0o644);
      return;
  }
  futimesSync(fd, now(), 0);
}

/** Refuses what a bare-user-only repository cannot hold: it keeps no owner, attributes or special bits. */
export function checkStorable(mode: RepoMode, checksum: Checksum, header: FileHeader): void {
  if (mode !== 'bare-user-only' || isSymlink(header.mode)) return;
  const bits = header.mode & 0o7777 & ~0o775;
  if (bits === 0) return;
  const octal = (value: number) => `0${value.toString(8).padStart(4, '0')}`;
  throw new AtomicError(
    'invalid',
    `Content object ${checksum}: invalid mode ${octal(header.mode)} with bits ${octal(bits)}`,
    { hint: 'commit with --canonical-permissions, or use a repository of another mode' },
  );
}

/** Writes a bare object's file at `path` from content in memory. */
export function writeBareObject(mode: RepoMode, path: string, header: FileHeader, content: Uint8Array): void {
  if (isSymlink(header.mode) && (mode === 'bare' || mode === 'bare-user-only')) {
    symlinkSync(header.target, path);
    if (mode === 'bare') {
      lchownSync(path, header.uid, header.gid);
      for (const { name, value } of header.xattrs) lsetxattr(path, name, value);
    }
    lutimesSync(path, now(), 0);
    return;
  }
  writeNew(path, (fd) => {
    writeFully(fd, isSymlink(header.mode) ? Buffer.from(`${header.target}\0`) : content);
    finishBareFile(mode, fd, header);
  });
}

/** Creates a file that only we can read, runs `write` on it, closes it. */
export function writeNew(path: string, write: (fd: number) => void): void {
  const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    write(fd);
  } finally {
    closeSync(fd);
  }
}

export function writeFully(fd: number, chunk: Uint8Array): void {
  for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at, chunk.length - at);
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
