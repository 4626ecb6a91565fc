import { chmodSync, chownSync, lstatSync, rmSync } from 'node:fs';
import { errnoCode, lsetxattr, makeWhiteout, readXattrs } from '@atomic/linux';
import { AtomicError } from '../error.ts';
import type { FileHeader } from '../objects/file.ts';
import type { Xattr } from '../objects/xattrs.ts';
import { explain } from '../repo/explain.ts';
import type { UnionMode } from './placer.ts';

export interface WhiteoutOptions {
  user: boolean;
  union: UnionMode;
  /** Whether attributes are set. */
  xattrs: boolean;
}

/** Makes the device that overlayfs takes for a whiteout of `name`; false when one that was there is kept. */
export function placeWhiteout(folder: string, name: string, header: FileHeader, options: WhiteoutOptions): boolean {
  if (name === '' || name === '.' || name === '..')
    throw new AtomicError('invalid', `Invalid empty overlayfs whiteout '${name}'`);
  const path = `${folder}/${name}`;
  const { user, union, xattrs } = options;
  try {
    makeWhiteout(path, header.mode & 0o7777);
  } catch (error) {
    if (errnoCode(error) !== 'EEXIST') throw explain(error, path, 'whiteout devices need Linux 5.8 or root');
    if (union === 'none') throw explain(error, path);
    if (union === 'add') return false;
    if (union === 'identical') {
      checkWhiteout(path, header, options);
      return false;
    }
    rmSync(path, { force: true });
    makeWhiteout(path, header.mode & 0o7777);
  }
  if (user) return true;
  for (const { name: attribute, value } of xattrs ? header.xattrs : []) lsetxattr(path, attribute, value);
  chownSync(path, header.uid, header.gid);
  chmodSync(path, header.mode & 0o7777);
  return true;
}

function checkWhiteout(path: string, header: FileHeader, { user, xattrs }: WhiteoutOptions): void {
  const there = lstatSync(path);
  const differs = (what: string) =>
    new AtomicError('exists', `existing destination file ${path} does not match ${what}`);
  if (!there.isCharacterDevice() || there.rdev !== 0) throw new AtomicError('exists', `${path}: File exists`);
  if (xattrs && !sameXattrs(readXattrs(path), header.xattrs))
    throw new AtomicError('exists', `existing destination file ${path} xattrs don't match`);
  if (user) return;
  if (there.gid !== header.gid) throw differs(`gid ${header.gid}`);
  if (there.uid !== header.uid) throw differs(`uid ${header.uid}`);
  if ((there.mode & 0o7777) !== (header.mode & 0o7777)) throw differs(`mode ${header.mode.toString(8)}`);
}

const sameXattrs = (a: readonly Xattr[], b: readonly Xattr[]): boolean =>
  a.length === b.length &&
  a.every((one, i) => b[i] !== undefined && one.name.equals(b[i].name) && one.value.equals(b[i].value));
