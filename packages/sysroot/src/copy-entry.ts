import { closeSync, constants, copyFileSync, fchmodSync, fchownSync, futimesSync, lstatSync, openSync } from 'node:fs';
import { fsetxattr, lsetxattr, readXattrs } from '@atomic/linux';

function copyXattrs(from: number, to: number): void {
  for (const { name, value } of readXattrs(from)) fsetxattr(to, name, value);
}

function withBoth(from: Buffer, to: Buffer, use: (source: number, destination: number) => void): void {
  const source = openSync(from, constants.O_RDONLY);
  try {
    const destination = openSync(to, constants.O_RDONLY);
    try {
      use(source, destination);
    } finally {
      closeSync(destination);
    }
  } finally {
    closeSync(source);
  }
}

/** Gives a folder the owner, mode and attributes of another. */
export function copyDirectoryAttributes(from: Buffer, to: Buffer, xattrs: boolean): void {
  const stat = lstatSync(from);
  withBoth(from, to, (source, destination) => {
    if (xattrs) copyXattrs(source, destination);
    fchownSync(destination, stat.uid, stat.gid);
    fchmodSync(destination, stat.mode & 0o7777);
  });
}

/** Copies a file to a name that is free, with owner, mode, times and attributes. */
export function copyRegular(from: Buffer, to: Buffer, xattrs: boolean): void {
  const stat = lstatSync(from);
  copyFileSync(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  withBoth(from, to, (source, destination) => {
    fchownSync(destination, stat.uid, stat.gid);
    fchmodSync(destination, stat.mode & 0o7777);
    if (xattrs) copyXattrs(source, destination);
    futimesSync(destination, stat.atimeMs / 1000, stat.mtimeMs / 1000);
  });
}

/** Gives a symlink the attributes of another, where the names are text. */
export function copySymlinkXattrs(from: Buffer, to: Buffer): void {
  const path = from.toString();
  if (!Buffer.from(path).equals(from)) return; // a name that is no text cannot be passed on
  for (const { name, value } of readXattrs(path)) lsetxattr(to.toString(), name, value);
}
