import { lstatSync } from 'node:fs';
import { lgetxattr } from '@atomic/linux';
import { AtomicError, corrupt } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import { bareUserMode } from '../objects/file.ts';
import { isSymlink } from '../objects/mode.ts';
import type { Repo } from '../repo/repo.ts';

/** What a checkout's options mean for links. */
export interface LinkOptions {
  user: boolean;
  cache: boolean;
  requireHardlinks: boolean;
  /** Link empty files as well, from a bare repository: then no object is looked at before link(2) finds it. */
  linkEmpty: boolean;
}

/** A path to link to; `copy`: the repository has the file, not to be linked; `absent`: look further. */
export type LinkSource = string | 'copy' | 'absent';

/** Where an archive repository keeps an object unpacked, for checkouts to link to. */
export const cachePath = (repo: Repo, checksum: Checksum): string =>
  `${repo.path}/uncompressed-objects-cache/${checksum.slice(0, 2)}/${checksum.slice(2)}.file`;

/** The error of asking for hard links where a repository's files are not what is checked out. */
function cannotLink(repo: Repo): AtomicError {
  const user = repo.mode === 'bare-user' || repo.mode === 'bare-user-only';
  return new AtomicError(
    'invalid',
    user
      ? 'User repository mode requires user checkout mode to hardlink'
      : 'Bare repository mode cannot hardlink in user checkout mode',
  );
}

/**
 * The object's file in one repository if it can be linked to (with `linkEmpty`, if it is there). Empty files are always copied: all of a tree are one
 * object, and link counts have an end; with `linkEmpty` they are when that end is reached. So is what -U must make readable.
 */
export function linkSource(repo: Repo, checksum: Checksum, options: LinkOptions): LinkSource {
  const { user, cache, requireHardlinks, linkEmpty } = options;
  switch (repo.mode) {
    case 'bare':
      if (user) break;
      if (linkEmpty) return repo.objectPath('file', checksum);
      return linkable(repo.objectPath('file', checksum));
    case 'bare-user-only':
    case 'bare-user': {
      const object = repo.objectPath('file', checksum);
      const stat = lstatSync(object, { throwIfNoEntry: false });
      if (stat === undefined) return 'absent';
      if (stat.size === 0 || stat.isSymbolicLink()) return 'copy';
      if (!user) break;
      const mode = repo.mode === 'bare-user' ? storedMode(object) : stat.mode;
      return isSymlink(mode) || (mode & 0o400) === 0 ? 'copy' : object;
    }
    case 'archive':
      if (user && cache) return linkable(cachePath(repo, checksum));
      break;
    case 'bare-split-xattrs':
      break;
  }
  if (requireHardlinks) {
    if (repo.mode === 'bare-user' && storedSymlink(repo, checksum)) return 'copy';
    throw cannotLink(repo);
  }
  return 'absent';
}

function storedMode(object: string): number {
  const meta = lgetxattr(object, 'user.ostreemeta');
  if (meta === null) throw corrupt(`Corrupted object ${object}: it has no user.ostreemeta attribute`);
  return bareUserMode(meta);
}

function storedSymlink(repo: Repo, checksum: Checksum): boolean {
  const object = repo.objectPath('file', checksum);
  return lstatSync(object, { throwIfNoEntry: false }) !== undefined && isSymlink(storedMode(object));
}

function linkable(path: string): string | 'copy' | 'absent' {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return 'absent';
  return stat.size === 0 ? 'copy' : path;
}
