import { AtomicError } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import { isSymlink } from '../objects/mode.ts';
import type { Repo } from '../repo/repo.ts';
import { type NamedFile, similarFiles } from './similar.ts';
import type { DeltaObject } from './superblock.ts';

/** An object the delta has to make, perhaps out of one that the client has. */
export interface PlannedObject extends DeltaObject {
  /** Bytes of content (of the target, for a symlink), or of the metadata object. */
  size: number;
  from: Checksum | null;
}

/** What is new in a commit, and what of the old one it resembles. */
export interface DeltaPlan {
  metadata: PlannedObject[];
  /** Regular files in an order that puts like next to like. */
  files: PlannedObject[];
  symlinks: PlannedObject[];
}

const S_IROTH = 0o004;

interface Tree {
  trees: Set<Checksum>;
  metas: Set<Checksum>;
  /** Paths by content object. */
  files: Map<Checksum, string[]>;
}

/** Everything below a commit's root; what `known` has below it is left out, since there it is whole. */
function walk(repo: Repo, commit: Checksum, known: Tree | null): Tree {
  if (repo.commitState(commit) !== 'complete') {
    throw new AtomicError('not-found', `Commit ${commit} is not whole in the repository`);
  }
  const { tree, meta } = repo.loadCommit(commit);
  const found: Tree = { trees: new Set(), metas: new Set(), files: new Map() };
  const stack = [{ path: '', tree, meta }];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    if (!known?.metas.has(next.meta)) found.metas.add(next.meta);
    if (known?.trees.has(next.tree)) continue;
    found.trees.add(next.tree);
    const { files, dirs } = repo.loadDirTree(next.tree);
    for (const { name, checksum } of files) {
      if (known?.files.has(checksum)) continue;
      const paths = found.files.get(checksum);
      if (paths === undefined) found.files.set(checksum, [`${next.path}/${name}`]);
      else if (paths.length < 16) paths.push(`${next.path}/${name}`);
    }
    for (const dir of dirs) stack.push({ path: `${next.path}/${dir.name}`, tree: dir.tree, meta: dir.meta });
  }
  return found;
}

/** Finds what a delta has to bring. Throws `not-found` when either commit is not there whole. */
export function planDelta(repo: Repo, from: Checksum | null, to: Checksum): DeltaPlan {
  const old = from === null ? null : walk(repo, from, null);
  const fresh = walk(repo, to, old);
  const meta = (type: 'dirtree' | 'dirmeta') => (checksum: Checksum) => ({
    type,
    checksum,
    size: repo.loadObject(type, checksum).length,
    from: null,
  });
  const regular: NamedFile[] = [];
  const symlinks: PlannedObject[] = [];
  for (const [checksum, paths] of fresh.files) {
    const { header, size } = repo.loadFile(checksum);
    if (isSymlink(header.mode)) {
      symlinks.push({ type: 'file', checksum, size: Buffer.byteLength(header.target), from: null });
    } else regular.push({ checksum, paths, size });
  }
  const resembles = old === null ? new Map<Checksum, Checksum>() : similarFiles(regular, readable(repo, old));
  const files = regular
    .sort((a, b) => (likeness(a) < likeness(b) ? -1 : 1))
    .map(({ checksum, size }) => ({ type: 'file' as const, checksum, size, from: resembles.get(checksum) ?? null }));
  return {
    metadata: [...[...fresh.trees].map(meta('dirtree')), ...[...fresh.metas].map(meta('dirmeta'))],
    files,
    symlinks,
  };
}

/**
 * The files of the old commit that may be built upon: only what everybody may read. A client whose objects lie in a
 * parent repository of root's can read no others.
 */
function readable(repo: Repo, tree: Tree): NamedFile[] {
  const files: NamedFile[] = [];
  for (const [checksum, paths] of tree.files) {
    const { header, size } = repo.loadFile(checksum);
    if (!isSymlink(header.mode) && (header.mode & S_IROTH) !== 0 && size > 0) files.push({ checksum, paths, size });
  }
  return files;
}

/** Sorts by kind of file, then place: neighbours share most with each other, and the packer has a short memory. */
function likeness({ paths }: NamedFile): string {
  const path = paths[0] ?? '';
  const name = path.slice(path.lastIndexOf('/') + 1);
  const extension = /\.so(\.|$)/.test(name)
    ? 'so'
    : (/\.([A-Za-z]\w*)$/.exec(name)?.[1] ?? (name.includes('.') ? 'so' : ''));
  return `${extension}\0${path}`;
}
