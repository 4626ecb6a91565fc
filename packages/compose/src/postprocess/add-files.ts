import {
  chmodSync,
  chownSync,
  constants,
  copyFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { followInTree } from '../tree-files.ts';
import type { AddFile, Located } from '../treefile/treefile.ts';

/** A path of the tree on this machine. Links on the way, such as /lib of a merged /usr, lead where they would lead there. */
export function placeOf(root: string, path: string, key: string, item: Located<unknown>): string {
  const folder = followInTree(root, posix.dirname(path));
  if (folder === undefined) throw refused(item, key, path, 'links of the tree lead in a circle');
  return join(root, folder, posix.basename(path));
}

const refused = (item: Located<unknown>, key: string, path: string, why: string): AtomicError =>
  new AtomicError('invalid', `${item.file}:${item.line}: '${key}' names ${path}: ${why}`);

/**
 * Adds a file, or a folder with all that is in it. What is added belongs to root; of its permission bits only x is kept,
 * for all. Folders that are there already stay as they are.
 */
export function addFiles(root: string, item: Located<AddFile>): void {
  const add = (source: string, destination: string): void => {
    const stat = lstatSync(source);
    const to = placeOf(root, destination, 'add-files', item);
    const there = lstatSync(to, { throwIfNoEntry: false });
    const end = there?.isSymbolicLink() ? followInTree(root, destination) : undefined;
    const isFolder = (end === undefined ? there : lstatSync(join(root, end), { throwIfNoEntry: false }))?.isDirectory();
    const settle = (mode: number): void => {
      chownSync(to, 0, 0);
      chmodSync(to, mode);
    };
    if (stat.isDirectory()) {
      if (!isFolder) {
        if (there !== undefined) throw refused(item, 'add-files', destination, 'it is no directory in the tree');
        mkdirSync(to, { recursive: true });
        settle(0o755);
      }
      for (const name of readdirSync(source)) add(join(source, name), posix.join(destination, name));
      return;
    }
    if (stat.isSymbolicLink() ? there?.isDirectory() : isFolder)
      throw refused(item, 'add-files', destination, 'it is a directory in the tree');
    mkdirSync(dirname(to), { recursive: true });
    rmSync(to, { force: true });
    if (stat.isSymbolicLink()) symlinkSync(readlinkSync(source), to);
    else if (stat.isFile()) {
      copyFileSync(source, to, constants.COPYFILE_EXCL);
      settle((stat.mode & 0o111) !== 0 ? 0o755 : 0o644);
    } else throw refused(item, 'add-files', source, 'it is no file, folder or link');
  };
  add(item.value.source, item.value.destination);
}
