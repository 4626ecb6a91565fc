import { lstatSync, readdirSync, type Stats } from 'node:fs';
import { readXattrs } from '@atomic/linux';
import { checksumFile } from '../commit/checksum-path.ts';
import { AtomicError, corrupt } from '../error.ts';
import { type Checksum, checksumBytes } from '../objects/checksum.ts';
import { serializeDirMeta } from '../objects/dirmeta.ts';
import { breather } from '../progress.ts';
import { explain } from '../repo/explain.ts';
import type { Repo } from '../repo/repo.ts';
import { children, lookup, type TreeEntry } from '../repo/tree.ts';

/** One side of a comparison: a commit of the repository (or a directory in it), or a directory of the file system. */
export type DiffSide = { rev: string; subpath?: string | undefined } | { dir: string };

export interface DiffOptions {
  /** Leave extended attributes of files on disk out (commits keep theirs). */
  ignoreXattrs?: boolean | undefined;
  /** Owner and group that files of the second side are taken to have, when they lie on disk. */
  uid?: number | undefined;
  gid?: number | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Paths that differ: absolute in a commit, relative to the folder on disk. A directory that was removed is one path;
 * one that was added comes with everything in it. `modified` has the path on the first side.
 */
export interface TreeDiff {
  modified: string[];
  removed: string[];
  added: string[];
}

type Kind = 'file' | 'directory' | 'symlink' | 'special';

/** A file or directory of either side. */
interface Node {
  readonly path: string;
  readonly kind: Kind;
  /** Of the content object, or of the dirmeta for a directory. */
  checksum(): Checksum;
  /** Checksum of what a directory holds, where that is known without looking. */
  readonly tree: Checksum | null;
  children(): Map<string, Node>;
}

interface OnDisk {
  ignoreXattrs: boolean;
  uid: number | undefined;
  gid: number | undefined;
}

/** Compares two trees, by checksum: whole committed directories that are the same are not looked into. */
export async function diffTrees(
  repo: Repo,
  from: DiffSide,
  to: DiffSide,
  options: DiffOptions = {},
): Promise<TreeDiff> {
  const plain = repo.mode === 'bare-user-only' || repo.config.getBoolean('core', 'disable-xattrs') === true;
  const ignoreXattrs = options.ignoreXattrs === true || plain;
  const node = (side: DiffSide, disk: OnDisk): Node =>
    'rev' in side ? committed(repo, lookup(repo, side.rev, side.subpath ?? '/')) : onDisk(side.dir, '', disk);
  const a = node(from, { ignoreXattrs, uid: undefined, gid: undefined });
  const b = node(to, { ignoreXattrs, uid: options.uid, gid: options.gid });
  for (const side of [a, b]) {
    if (side.kind !== 'directory') throw new AtomicError('invalid', 'Not a directory');
  }
  return compare(a, b, breather(options.signal));
}

/** A pair of directories under comparison. */
interface Level {
  before: Map<string, Node>;
  after: Map<string, Node>;
  left: Iterator<[string, Node]>;
}

/** Longer paths only a tree that contains itself has; no hash allows that, but a forged repository might. */
const MAX_PATH = 1 << 16;

async function compare(a: Node, b: Node, pause: () => Promise<void> | undefined): Promise<TreeDiff> {
  const diff: TreeDiff = { modified: [], removed: [], added: [] };
  const levels: Level[] = [];
  const enter = (was: Node, is: Node): void => {
    if (was.tree !== null && was.tree === is.tree) return;
    if (was.path.length > MAX_PATH) throw corrupt(`${was.path.slice(0, 80)}…: a tree that contains itself`);
    const before = was.children();
    levels.push({ before, after: is.children(), left: before.entries() });
  };
  enter(a, b);
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const turn = pause();
    if (turn !== undefined) await turn;
    const next = level.left.next();
    if (next.done) {
      for (const [name, is] of level.after) if (!level.before.has(name)) addAll(is, diff.added);
      levels.pop();
      continue;
    }
    const [name, was] = next.value;
    const is = level.after.get(name);
    if (is === undefined) diff.removed.push(was.path);
    else if (was.kind !== is.kind) diff.modified.push(was.path);
    else {
      if (was.checksum() !== is.checksum()) diff.modified.push(was.path);
      if (was.kind === 'directory') enter(was, is);
    }
  }
  return diff;
}

function addAll(start: Node, added: string[]): void {
  const pending = [start];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (node.path.length > MAX_PATH) throw corrupt(`${node.path.slice(0, 80)}…: a tree that contains itself`);
    added.push(node.path);
    if (node.kind === 'directory') pending.push(...[...node.children().values()].reverse());
  }
}

function committed(repo: Repo, entry: TreeEntry): Node {
  const { path } = entry;
  if (entry.kind === 'directory') {
    const below = (): Map<string, Node> =>
      new Map([...children(repo, entry)].map((child) => [nameOf(child.path), committed(repo, child)]));
    return { path, kind: 'directory', checksum: () => entry.meta, tree: entry.tree, children: below };
  }
  return {
    path,
    get kind(): Kind {
      return entry.header.target === '' ? 'file' : 'symlink';
    },
    checksum: () => entry.checksum,
    tree: null,
    children: () => new Map(),
  };
}

const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

function onDisk(root: string, relative: string, disk: OnDisk): Node {
  const full = relative === '' ? root : `${root}/${relative}`;
  const stat = told(full, () => lstatSync(full));
  const kind = kindOf(stat);
  const { uid, gid, ignoreXattrs } = disk;
  const checksum = (): Checksum => {
    if (kind !== 'directory') return checksumFile(full, { ignoreXattrs, uid, gid });
    const xattrs = ignoreXattrs ? [] : readXattrs(full);
    return checksumBytes(serializeDirMeta({ uid: uid ?? stat.uid, gid: gid ?? stat.gid, mode: stat.mode, xattrs }));
  };
  const below = (): Map<string, Node> =>
    new Map(
      told(full, () => readdirSync(full)).map((name) => [
        name,
        onDisk(root, relative === '' ? name : `${relative}/${name}`, disk),
      ]),
    );
  return { path: relative, kind, checksum, tree: null, children: below };
}

/** Runs a system call on `path`; what fails is said in words. */
function told<T>(path: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw explain(error, path);
  }
}

function kindOf(stat: Stats): Kind {
  if (stat.isDirectory()) return 'directory';
  if (stat.isSymbolicLink()) return 'symlink';
  return stat.isFile() ? 'file' : 'special';
}
