import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  lchownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  symlinkSync,
} from 'node:fs';
import { fsetxattr, lsetxattr, makeWhiteout } from '@atomic/linux';
import { AtomicError } from '../error.ts';
import type { Repo } from '../repo/repo.ts';
import { writeFully } from '../repo/store-content.ts';
import { type Attributes, type Change, type FileChange, pathNames } from './change.ts';
import { readContent } from './read-content.ts';

/**
 * Writes changes below an empty directory that is ours alone, as an overlay on their base would be: what is removed
 * becomes a whiteout device. Owners and attributes need root. Every time in it is `timestamp` (Unix seconds).
 */
export async function writeFolder(
  repo: Repo,
  changes: AsyncIterable<Change>,
  folder: string,
  timestamp: number,
): Promise<void> {
  const written = [folder];
  for await (const change of changes) {
    // Each name was one of the tree's; whoever made these changes by hand may err.
    const path = [folder, ...pathNames(change.path)].join('/');
    await write(repo, change, path, folder);
    if (path !== folder) written.push(path);
  }
  // Last, and from the leaves up: what is made in a directory changes its time.
  for (const path of written.reverse()) lutimesSync(path, timestamp, timestamp);
}

async function write(repo: Repo, change: Change, path: string, folder: string): Promise<void> {
  switch (change.kind) {
    case 'dir':
      if (change.path !== '') mkdirSync(path);
      lchownSync(path, change.uid, change.gid);
      chmodSync(path, change.mode);
      return setXattrs(path, change);
    case 'symlink':
      symlinkSync(change.target, path);
      lchownSync(path, change.uid, change.gid);
      return setXattrs(path, change);
    case 'file':
      return await writeFile(repo, change, path);
    case 'hardlink':
      return linkSync([folder, ...pathNames(change.to)].join('/'), path);
    case 'remove':
      return makeWhiteout(path, 0o600);
    case 'clear':
      return lsetxattr(path, 'trusted.overlay.opaque', Buffer.from('y'));
    case 'meta':
      throw new AtomicError('invalid', `/${change.path}: only its base knows its content`);
  }
}

async function writeFile(repo: Repo, change: FileChange, path: string): Promise<void> {
  const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    for await (const piece of readContent(repo, change)) writeFully(fd, piece);
    // In this order: a change of owner drops setuid and capabilities.
    fchownSync(fd, change.uid, change.gid);
    fchmodSync(fd, change.mode);
    for (const { name, value } of change.xattrs) fsetxattr(fd, name, value);
  } finally {
    closeSync(fd);
  }
}

function setXattrs(path: string, { xattrs }: Attributes): void {
  for (const { name, value } of xattrs) lsetxattr(path, name, value);
}
