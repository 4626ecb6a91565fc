import { corrupt } from '../error.ts';

export const S_IFMT = 0o170000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;
export const S_IFDIR = 0o040000;

/** Whether a mode is that of a regular file. */
export const isRegular = (mode: number): boolean => (mode & S_IFMT) === S_IFREG;
/** Whether a mode is that of a symlink. */
export const isSymlink = (mode: number): boolean => (mode & S_IFMT) === S_IFLNK;
/** Whether a mode is that of a directory. */
export const isDirectory = (mode: number): boolean => (mode & S_IFMT) === S_IFDIR;

const octal = (mode: number) => `0${mode.toString(8)}`;

/** A content object is a regular file or a symlink and has no bits but type and permissions. */
export function checkFileMode(mode: number): number {
  if (!(isRegular(mode) || isSymlink(mode))) throw corrupt(`Invalid mode ${octal(mode)}: neither file nor symlink`);
  if ((mode & ~(S_IFMT | 0o7777)) !== 0) throw corrupt(`Invalid mode ${octal(mode)}; invalid bits in mode`);
  return mode;
}

/** A directory has no bits but type and permissions; throws `corrupt` otherwise. */
export function checkDirectoryMode(mode: number): number {
  if (!isDirectory(mode)) throw corrupt(`Invalid directory metadata mode ${octal(mode)}; not a directory`);
  if ((mode & ~(S_IFMT | 0o7777)) !== 0)
    throw corrupt(`Invalid directory metadata mode ${octal(mode)}; invalid bits in mode`);
  return mode;
}
