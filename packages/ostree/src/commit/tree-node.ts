import { AtomicError } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import type { DirTree } from '../objects/dirtree.ts';

/** Where a directory that is still unread can be read: a repository, or a transaction. */
export interface DirTreeSource {
  loadDirTree(checksum: Checksum): DirTree;
}

/** A directory of a tree to be committed. A committed one stays unread (`origin`) until something is laid over it. */
export class TreeNode {
  /** Its dirmeta; null until it is known. */
  meta: Checksum | null = null;
  /** Names and content objects; the empty string stands for one still being stored. */
  readonly files = new Map<string, Checksum>();
  readonly dirs = new Map<string, TreeNode>();
  /** The dirtree it still is, unread. */
  origin: Checksum | null = null;
  /** The directory it is written before, when both are written as soon as they are complete. */
  parent: TreeNode | null = null;
  /** How many files of it are still being stored, and directories in it not yet written. */
  waiting = 0;
  /** Nothing more comes into it. */
  complete = false;
  /** Its dirtree is written, and is its `origin`. */
  written = false;

  get empty(): boolean {
    return this.origin === null && this.files.size === 0 && this.dirs.size === 0;
  }

  /** Reads a by-reference directory's entries, so that they can change. */
  expand(repo: DirTreeSource): void {
    if (this.origin === null) return;
    const listing = repo.loadDirTree(this.origin);
    this.origin = null;
    for (const { name, checksum } of listing.files) this.files.set(name, checksum);
    for (const { name, tree, meta } of listing.dirs) {
      const dir = new TreeNode();
      dir.meta = meta;
      dir.origin = tree;
      this.dirs.set(name, dir);
    }
  }

  setFile(repo: DirTreeSource, name: string, checksum: Checksum): void {
    this.expand(repo);
    if (this.dirs.has(name)) throw new AtomicError('invalid', `Can't replace directory with file: ${name}`);
    this.files.set(name, checksum);
  }

  /** The directory of that name, made when it is not there. */
  ensureDir(repo: DirTreeSource, name: string): TreeNode {
    this.expand(repo);
    if (this.files.has(name)) throw new AtomicError('invalid', `Can't replace file with directory: ${name}`);
    let dir = this.dirs.get(name);
    if (dir === undefined) {
      dir = new TreeNode();
      this.dirs.set(name, dir);
    }
    return dir;
  }
}
