import { AtomicError, corrupt } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import type { DirMeta } from '../objects/dirmeta.ts';
import type { DirTree } from '../objects/dirtree.ts';
import type { FileHeader } from '../objects/file.ts';
import type { Repo } from './repo.ts';

/** Something in a committed tree. `path` is absolute in the tree. */
export type TreeEntry =
  | { kind: 'directory'; path: string; tree: Checksum; meta: Checksum; dirMeta: DirMeta }
  | { kind: 'file'; path: string; checksum: Checksum; header: FileHeader; size: number };

function directory(repo: Repo, path: string, tree: Checksum, meta: Checksum): TreeEntry {
  return { kind: 'directory', path, tree, meta, dirMeta: repo.loadDirMeta(meta) };
}

function file(repo: Repo, path: string, checksum: Checksum): TreeEntry {
  const { header, size } = repo.loadFile(checksum);
  return { kind: 'file', path, checksum, header, size };
}

/** Finds a path in a commit's tree, not following symlinks; throws `not-found` as stock does. */
export function lookup(repo: Repo, rev: string, path: string): TreeEntry {
  const commit = repo.loadCommit(repo.resolveRev(rev));
  let found = directory(repo, '/', commit.tree, commit.meta);
  for (const name of path.split('/').filter((part) => part !== '' && part !== '.')) {
    const here = found.path === '/' ? `/${name}` : `${found.path}/${name}`;
    const tree: DirTree | null = found.kind === 'directory' ? repo.loadDirTree(found.tree) : null;
    const dir = tree?.dirs.find((entry) => entry.name === name);
    const entry = tree?.files.find((candidate) => candidate.name === name);
    if (dir !== undefined) found = directory(repo, here, dir.tree, dir.meta);
    else if (entry !== undefined) found = file(repo, here, entry.checksum);
    else throw new AtomicError('not-found', `No such file or directory: ${here}`);
  }
  return found;
}

/** What a directory entry holds, files first, each list in name order (the order stock prints). */
export function* children(repo: Repo, entry: TreeEntry): Generator<TreeEntry> {
  if (entry.kind !== 'directory') return;
  const base = entry.path === '/' ? '' : entry.path;
  const tree = repo.loadDirTree(entry.tree);
  for (const { name, checksum } of tree.files) yield file(repo, `${base}/${name}`, checksum);
  for (const dir of tree.dirs) yield directory(repo, `${base}/${dir.name}`, dir.tree, dir.meta);
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
  const above = new Set<Checksum>();
  function* below(parent: TreeEntry): Generator<TreeEntry> {
    if (parent.kind !== 'directory') return;
    // No hash can contain itself; a repository that was tampered with can say so, for ever.
    if (above.has(parent.tree)) throw corrupt(`Corrupted dirtree object ${parent.tree}: it contains itself`);
    above.add(parent.tree);
    for (const child of children(repo, parent)) {
      yield child;
      if (options.recurse && child.kind === 'directory') yield* below(child);
    }
    above.delete(parent.tree);
  }
  yield* below(root);
}

/** The content of a regular file in a commit (symlinks within the tree are followed, 40 at most). */
export function readFileAt(repo: Repo, rev: string, path: string): Buffer {
  let current = path;
  for (let hops = 0; hops < 40; hops++) {
    const entry = lookup(repo, rev, current);
    if (entry.kind === 'directory') throw new AtomicError('invalid', `${path}: Is a directory`);
    if (entry.header.target === '') return repo.loadFile(entry.checksum).readContent();
    const parent = current.split('/').slice(0, -1).join('/');
    current = entry.header.target.startsWith('/') ? entry.header.target : normalize(`${parent}/${entry.header.target}`);
  }
  throw new AtomicError('invalid', `${path}: too many levels of symbolic links`);
}

function normalize(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return `/${parts.join('/')}`;
}
