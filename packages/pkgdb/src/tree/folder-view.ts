import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { TreeView } from './tree-view.ts';

/** A tree that lies in a folder: a root being composed, a deployment. */
export const folderView = (root: string): TreeView => ({
  look(path) {
    const at = join(root, path);
    const stat = lstatSync(at, { throwIfNoEntry: false });
    if (stat === undefined) return null;
    if (stat.isSymbolicLink()) return { kind: 'symlink', target: readlinkSync(at) };
    if (stat.isDirectory()) return { kind: 'directory', names: () => readdirSync(at) };
    return stat.isFile() ? { kind: 'file', size: stat.size, read: () => readFileSync(at) } : null;
  },
});
