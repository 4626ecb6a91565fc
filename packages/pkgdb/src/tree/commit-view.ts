import { type Checksum, type DirTree, isSymlink, type Repo, type StoredFile } from '@atomic/ostree';
import type { TreeItem, TreeView } from './tree-view.ts';

const fileItem = (stored: StoredFile): TreeItem =>
  isSymlink(stored.header.mode)
    ? { kind: 'symlink', target: stored.header.target }
    : { kind: 'file', size: stored.size, read: () => stored.readContent() };

/** A commit's tree, read object by object. Throws `not-found` for objects that were not fetched. */
export function commitView(repo: Repo, commit: Checksum): TreeView {
  const known = new Map<string, DirTree | null>();
  const folder = (path: string): DirTree | null => {
    const found = known.get(path);
    if (found !== undefined) return found;
    let tree: DirTree | null = null;
    if (path === '') tree = repo.loadDirTree(repo.loadCommit(commit).tree);
    else {
      const slash = path.lastIndexOf('/');
      const entry = folder(path.slice(0, Math.max(slash, 0)))?.dirs.find(({ name }) => name === path.slice(slash + 1));
      if (entry !== undefined) tree = repo.loadDirTree(entry.tree);
    }
    known.set(path, tree);
    return tree;
  };
  return {
    look(path) {
      const slash = path.lastIndexOf('/');
      const name = path.slice(slash + 1);
      const parent = folder(path.slice(0, Math.max(slash, 0)));
      const file = parent?.files.find((entry) => entry.name === name);
      if (file !== undefined) return fileItem(repo.loadFile(file.checksum));
      const here = folder(path);
      return here === null
        ? null
        : { kind: 'directory', names: () => [...here.files, ...here.dirs].map((entry) => entry.name) };
    },
  };
}
