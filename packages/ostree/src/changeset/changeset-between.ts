import { corrupt } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import type { DirMeta } from '../objects/dirmeta.ts';
import type { DirEntry, DirTree } from '../objects/dirtree.ts';
import { isSymlink } from '../objects/mode.ts';
import { breather } from '../progress.ts';
import type { Repo } from '../repo/repo.ts';
import type { Change } from './change.ts';

export interface BetweenOptions {
  /** Tell of every directory in which something changed, changed itself or not: what unpacks layers one by one needs it. */
  parents?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

/** Longer paths only a tree that contains itself has; no hash allows that, but a forged repository might. */
const MAX_PATH = 1 << 16;
const EMPTY: DirTree = { files: [], dirs: [] };

/** A directory that differs, or is new (`from` is null then). */
interface Pair {
  path: string;
  from: Checksum | null;
  to: Checksum;
}

/**
 * The changes that make the tree of one commit from that of another: laid over `from`, they give exactly `to`. Only
 * directories that differ are read. In each, what is gone comes first, then files, then directories, by name.
 */
export async function* changesetBetween(
  repo: Repo,
  from: string,
  to: string,
  options: BetweenOptions = {},
): AsyncGenerator<Change> {
  const [a, b] = [repo.loadCommit(repo.resolveRev(from)), repo.loadCommit(repo.resolveRev(to))];
  const pause = breather(options.signal);
  const metas = new Map<Checksum, DirMeta>();
  const folder = (path: string, meta: Checksum): Change => {
    const { uid, gid, mode, xattrs } = metas.get(meta) ?? repo.loadDirMeta(meta);
    if (!metas.has(meta)) metas.set(meta, { uid, gid, mode, xattrs });
    return { kind: 'dir', path, uid, gid, mode: mode & 0o7777, xattrs };
  };
  if (a.meta !== b.meta || (options.parents === true && a.tree !== b.tree)) yield folder('', b.meta);
  const pending: Pair[] = a.tree === b.tree ? [] : [{ path: '', from: a.tree, to: b.tree }];
  for (let pair = pending.pop(); pair !== undefined; pair = pending.pop()) {
    const { path } = pair;
    if (path.length > MAX_PATH) throw corrupt(`${path.slice(0, 80)}…: a tree that contains itself`);
    const before = pair.from === null ? EMPTY : repo.loadDirTree(pair.from);
    const after = repo.loadDirTree(pair.to);
    const prefix = path === '' ? '' : `${path}/`;
    const files = new Map(before.files.map(({ name, checksum }) => [name, checksum]));
    const dirs = new Map(before.dirs.map((dir) => [dir.name, dir]));
    for (const name of gone(before, after)) yield { kind: 'remove', path: prefix + name };
    for (const { name, checksum } of after.files) {
      const turn = pause();
      if (turn !== undefined) await turn;
      if (files.get(name) !== checksum) yield committedFile(repo, prefix + name, checksum);
    }
    const below: Pair[] = [];
    for (const { name, tree, meta } of after.dirs) {
      const was: DirEntry | undefined = dirs.get(name);
      const differs = was?.tree !== tree;
      const child = prefix + name;
      // A new directory without anything in it is told of all the same.
      if (was?.meta !== meta || (differs && options.parents === true)) yield folder(child, meta);
      if (differs) below.push({ path: child, from: was?.tree ?? null, to: tree });
    }
    pending.push(...below.reverse());
  }
}

/** Names that are in the first listing only. */
function gone(before: DirTree, after: DirTree): string[] {
  const left = new Set([...after.files, ...after.dirs].map(({ name }) => name));
  return [...before.files, ...before.dirs].map(({ name }) => name).filter((name) => !left.has(name));
}

/** A file or symlink as an object of the repository has it. */
export function committedFile(repo: Repo, path: string, checksum: Checksum): Change {
  const { header, size } = repo.loadFile(checksum);
  const { uid, gid, mode, target, xattrs } = header;
  const common = { path, uid, gid, mode: mode & 0o7777, xattrs };
  if (isSymlink(mode)) return { kind: 'symlink', ...common, target };
  return { kind: 'file', ...common, size, content: { from: 'object', checksum } };
}
