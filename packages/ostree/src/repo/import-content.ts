import { closeSync, constants, linkSync, openSync } from 'node:fs';
import { errnoCode } from '@atomic/linux';
import { AtomicError } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import { isSymlink } from '../objects/mode.ts';
import type { Repo } from './repo.ts';
import type { Stager, Stored } from './stager.ts';
import { checkStorable, copyBareObject } from './store-content.ts';
import { checkExpected, contentChecksum, placeContent, storeLarge } from './store-file.ts';
import { tryStoreFilez } from './store-filez.ts';
import { verifyContent } from './verify-content.ts';

export interface ImportOptions {
  /** Take the source's word for its objects' checksums. */
  trusted?: boolean | undefined;
  /** Refuse what a bare-user-only repository could not hold (owners and attributes aside), whatever this one's mode. */
  bareUserOnly?: boolean | undefined;
  /** The caller has seen that the object is not here, and nobody else brings it. */
  absent?: boolean | undefined;
}

/** How an object came: `linked` shares the source's inode. */
export interface Imported extends Stored {
  how: 'present' | 'linked' | 'copied';
}

const WHOLE_LIMIT = 1 << 22;

/**
 * Stages a content object of another repository on this machine: by hard link where mode and file system allow, else
 * by copy, converted to this repository's mode. Unless trusted, content is re-hashed on the way.
 * Throws `not-found` and `corrupt`.
 */
export function importContent(
  stager: Stager,
  source: Repo,
  checksum: Checksum,
  options: ImportOptions = {},
): Imported | Promise<Imported> {
  const { absent } = options;
  if (!absent && stager.has('file', checksum)) return { checksum, size: 0, isNew: false, how: 'present' };
  if (options.bareUserOnly) checkStorable('bare-user-only', checksum, source.loadFile(checksum).header);
  if (mayShare(stager, source) && source.hasOwnObject('file', checksum) && sameFile(stager, source, checksum)) {
    const check = options.trusted ? undefined : verifyContent(source, checksum);
    return check instanceof Promise
      ? check.then(() => linkOrCopy(stager, source, checksum))
      : linkOrCopy(stager, source, checksum);
  }
  return copied(convert(stager, source, checksum, { trusted: options.trusted, absent }));
}

/** Whether objects of these modes can be one file. */
const mayShare = ({ target: { mode } }: Stager, source: Repo): boolean =>
  source.mode === mode || (source.mode === 'bare-user' && mode === 'bare-user-only');

/**
 * Whether the object's file is the same in both repositories. A bare-user one is in a bare-user-only repository, too,
 * unless it is a symlink (a file there) or has what such a repository does not keep.
 */
function sameFile(stager: Stager, source: Repo, checksum: Checksum): boolean {
  const { mode } = stager.target;
  if (source.mode === mode) return true;
  const { header } = source.loadFile(checksum);
  checkStorable(mode, checksum, header);
  const { uid, gid, xattrs } = header;
  return !isSymlink(header.mode) && uid === 0 && gid === 0 && xattrs.length === 0 && (header.mode & 0o400) !== 0;
}

function linkOrCopy(stager: Stager, source: Repo, checksum: Checksum): Imported | Promise<Imported> {
  const from = source.objectPath('file', checksum);
  try {
    stager.named(stager.stagedPath('file', checksum), (path) => linkSync(from, path));
    return { checksum, size: 0, isNew: true, how: 'linked' };
  } catch (error) {
    const code = errnoCode(error);
    if (code === 'EEXIST') return { checksum, size: 0, isNew: false, how: 'present' };
    if (code === 'ENOENT') throw new AtomicError('not-found', `No such file object ${checksum} in ${source.path}`);
    if (code !== 'EXDEV' && code !== 'EPERM' && code !== 'EMLINK') throw error;
  }
  return copied(convert(stager, source, checksum, { trusted: true }));
}

const copied = (stored: Stored | Promise<Stored>): Imported | Promise<Imported> =>
  stored instanceof Promise ? stored.then(asCopied) : asCopied(stored);
const asCopied = (stored: Stored): Imported => ({ ...stored, how: stored.isNew ? 'copied' : 'present' });

function convert(
  stager: Stager,
  source: Repo,
  checksum: Checksum,
  options: Pick<ImportOptions, 'trusted' | 'absent'>,
): Stored | Promise<Stored> {
  if (source.archive) {
    const stored = tryStoreFilez(stager, source.objectPath('file', checksum), checksum, options);
    if (stored !== null) return stored;
  }
  const { trusted } = options;
  const file = source.loadFile(checksum);
  const { header, path, size } = file;
  if (path === null || isSymlink(header.mode) || size <= WHOLE_LIMIT) {
    const content = file.readContent();
    if (!trusted) checkExpected(contentChecksum(header, content), checksum);
    return placeContent(stager, header, content, checksum, options);
  }
  const { mode } = stager.target;
  if (trusted && mode !== 'archive') {
    checkStorable(mode, checksum, header);
    stager.place('file', checksum, (to) => copyBareObject(mode, path, to, header));
    return { checksum, size, isNew: true };
  }
  const fd = openSync(path, constants.O_RDONLY);
  try {
    return storeLarge(stager, fd, header, size, checksum);
  } finally {
    closeSync(fd);
  }
}
