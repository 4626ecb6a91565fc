import { AtomicError, corrupt } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import type { DirMeta } from '../objects/dirmeta.ts';
import type { FileHeader } from '../objects/file.ts';
import { isSymlink } from '../objects/mode.ts';
import type { StoredFile } from './load-file.ts';
import type { Repo } from './repo.ts';

/** A directory in a committed tree. `path` is absolute in the tree; what it is made of is read when asked for. */
export class TreeDirectory {
  readonly kind = 'directory';
  readonly path: string;
  readonly tree: Checksum;
  readonly meta: Checksum;
  readonly #metas: Metas;

  constructor(path: string, tree: Checksum, meta: Checksum, metas: Metas) {
    this.path = path;
    this.tree = tree;
    this.meta = meta;
    this.#metas = metas;
  }

  get dirMeta(): DirMeta {
    return this.#metas.get(this.meta);
  }
}

/** A file or symlink in a committed tree. */
export class TreeFile {
  readonly kind = 'file';
  readonly path: string;
  readonly checksum: Checksum;
  readonly #repo: Repo;
  #stored: StoredFile | undefined;

  constructor(path: string, checksum: Checksum, repo: Repo) {
    this.path = path;
    this.checksum = checksum;
    this.#repo = repo;
  }

  get stored(): StoredFile {
    this.#stored ??= this.#repo.loadFile(this.checksum);
    return this.#stored;
  }
  get header(): FileHeader {
    return this.stored.header;
  }
  /** Bytes of content; 0 for a symlink. */
  get size(): number {
    return this.stored.size;
  }
}

/** Something in a committed tree. */
export type TreeEntry = TreeDirectory | TreeFile;

/** A tree's directories have few different dirmetas among them. */
class Metas {
  readonly #repo: Repo;
  readonly #known = new Map<Checksum, DirMeta>();

  constructor(repo: Repo) {
    this.#repo = repo;
  }

  get(checksum: Checksum): DirMeta {
    let meta = this.#known.get(checksum);
    if (meta === undefined) {
      meta = this.#repo.loadDirMeta(checksum);
      this.#known.set(checksum, meta);
    }
    return meta;
  }
}

/** The root directory of a tree that no commit needs to have. */
export const treeOf = (repo: Repo, tree: Checksum, meta: Checksum): TreeDirectory =>
  new TreeDirectory('/', tree, meta, new Metas(repo));

/** The root directory of a commit; `rev` is anything {@link Repo.resolveRev} takes. */
export function treeRoot(repo: Repo, rev: string): TreeDirectory {
  const commit = repo.loadCommit(repo.resolveRev(rev));
  return treeOf(repo, commit.tree, commit.meta);
}

/** Finds a path in a commit's tree, not following symlinks; throws `not-found` and `invalid` (below a file) as stock does. */
export function lookup(repo: Repo, rev: string, path: string): TreeEntry {
  const metas = new Metas(repo);
  let found: TreeEntry = treeRoot(repo, rev);
  for (const name of path.split('/')) {
    if (name === '' || name === '.') continue;
    if (found.kind === 'file') throw new AtomicError('invalid', 'Not a directory');
    const here = found.path === '/' ? `/${name}` : `${found.path}/${name}`;
    const listing = repo.loadDirTree(found.tree);
    const dir = listing.dirs.find((entry) => entry.name === name);
    const file = listing.files.find((entry) => entry.name === name);
    if (dir !== undefined) found = new TreeDirectory(here, dir.tree, dir.meta, metas);
    else if (file !== undefined) found = new TreeFile(here, file.checksum, repo);
    else throw new AtomicError('not-found', `No such file or directory: ${here}`);
  }
  return found;
}

/** What a directory holds, files first, each list in name order (the order stock prints); nothing for a file. */
export function* children(repo: Repo, entry: TreeEntry, metas: Metas = new Metas(repo)): Generator<TreeEntry> {
  if (entry.kind !== 'directory') return;
  const base = entry.path === '/' ? '' : entry.path;
  const listing = repo.loadDirTree(entry.tree);
  for (const { name, checksum } of listing.files) yield new TreeFile(`${base}/${name}`, checksum, repo);
  for (const dir of listing.dirs) yield new TreeDirectory(`${base}/${dir.name}`, dir.tree, dir.meta, metas);
}

/** Everything below an entry, each directory before what is in it. Throws `corrupt` for a tree that contains itself. */
export function* descendants(repo: Repo, entry: TreeEntry): Generator<TreeEntry> {
  const metas = new Metas(repo);
  // No hash can contain itself; a repository that was tampered with can say so, for ever.
  const above = new Set<Checksum>();
  const levels: { tree: Checksum; iterator: Generator<TreeEntry> }[] = [];
  const enter = (dir: TreeEntry): void => {
    if (dir.kind !== 'directory') return;
    if (above.has(dir.tree)) throw corrupt(`Corrupted dirtree object ${dir.tree}: it contains itself`);
    above.add(dir.tree);
    levels.push({ tree: dir.tree, iterator: children(repo, dir, metas) });
  };
  enter(entry);
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const next = level.iterator.next();
    if (next.done) {
      above.delete(level.tree);
      levels.pop();
      continue;
    }
    yield next.value;
    enter(next.value);
  }
}

/** The entry at `path` and, when it is a directory, what is in it (all the way down with `recurse`). */
export function* listTree(
  repo: Repo,
  rev: string,
  path: string,
  options: { recurse?: boolean } = {},
): Generator<TreeEntry> {
  const root = lookup(repo, rev, path);
  yield root;
  yield* options.recurse ? descendants(repo, root) : children(repo, root);
}

/** Follows symlinks within the tree, 40 at most, to a regular file; throws `invalid` for a directory. */
export function openFileAt(repo: Repo, rev: string, path: string): StoredFile {
  let current = path;
  for (let hops = 0; hops < 40; hops++) {
    const entry = lookup(repo, rev, current);
    if (entry.kind === 'directory') throw new AtomicError('invalid', "Can't open directory");
    if (!isSymlink(entry.header.mode)) return entry.stored;
    const { target } = entry.header;
    const parent = entry.path.slice(0, entry.path.lastIndexOf('/'));
    current = normalize(target.startsWith('/') ? target : `${parent}/${target}`);
  }
  throw new AtomicError('invalid', `${path}: Too many levels of symbolic links`);
}

/** The content of a regular file in a commit, all of it in memory; see {@link openFileAt}. */
export const readFileAt = (repo: Repo, rev: string, path: string): Buffer => openFileAt(repo, rev, path).readContent();

function normalize(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return `/${parts.join('/')}`;
}
