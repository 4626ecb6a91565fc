import type { Checksum } from '../objects/checksum.ts';
import type { DirEntry, DirTree } from '../objects/dirtree.ts';
import type { Repo } from '../repo/repo.ts';

/** A committed tree in which places are looked up; each directory on the way is read once. */
export class BaseTree {
  readonly #repo: Repo;
  readonly #root: Checksum;
  readonly #read = new Map<Checksum, { files: Map<string, Checksum>; dirs: Map<string, DirEntry> }>();

  /** `root`: a dirtree. */
  constructor(repo: Repo, root: Checksum) {
    this.#repo = repo;
    this.#root = root;
  }

  /** The dirtree at a path (the root's is empty), or null when no directory is there. */
  directory(names: readonly string[]): Checksum | null {
    let tree: Checksum = this.#root;
    for (const name of names) {
      const next = this.#listing(tree).dirs.get(name);
      if (next === undefined) return null;
      tree = next.tree;
    }
    return tree;
  }

  /** The content object at a path, or null when no file or symlink is there. */
  file(names: readonly string[]): Checksum | null {
    const parent = this.directory(names.slice(0, -1));
    const name = names.at(-1);
    if (parent === null || name === undefined) return null;
    return this.#listing(parent).files.get(name) ?? null;
  }

  #listing(tree: Checksum) {
    let found = this.#read.get(tree);
    if (found === undefined) {
      const { files, dirs }: DirTree = this.#repo.loadDirTree(tree);
      found = {
        files: new Map(files.map(({ name, checksum }) => [name, checksum])),
        dirs: new Map(dirs.map((dir) => [dir.name, dir])),
      };
      this.#read.set(tree, found);
    }
    return found;
  }
}
