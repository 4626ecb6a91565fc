import {
  type Checksum,
  corrupt,
  type DirTree,
  type Repo,
  S_IFDIR,
  serializeDirMeta,
  serializeDirTree,
  type Transaction,
} from '@atomic/ostree';
import { Tally } from './limits.ts';

/** Marks a folder of a layer that the layer says nothing of: what is below it says what it is. */
const IMPLICIT = {
  uid: 0,
  gid: 0,
  mode: S_IFDIR | 0o755,
  xattrs: [{ name: Buffer.from('user.atomic.implicit'), value: Buffer.from('1') }],
};
const PLAIN = { ...IMPLICIT, xattrs: [] };

const NO_FILES: ReadonlyMap<string, Checksum> = new Map();
const NO_DIRS: ReadonlyMap<string, Folder> = new Map();

/** A folder of a tree that is being made. One that is in the repository stays unread until something is laid into it. */
export class Folder {
  /** Its dirmeta; null for one that nothing was said of. */
  meta: Checksum | null;
  readonly #repo: Repo;
  readonly #tally: Tally;
  #origin: Checksum | null;
  // A million empty folders are a few hundred megabytes of empty maps.
  #files: Map<string, Checksum> | undefined;
  #dirs: Map<string, Folder> | undefined;

  constructor(repo: Repo, tally: Tally, meta: Checksum | null = null, origin: Checksum | null = null) {
    this.#repo = repo;
    this.#tally = tally;
    this.meta = meta;
    this.#origin = origin;
  }

  #expand(): void {
    if (this.#origin === null) return;
    const { files, dirs } = this.#repo.loadDirTree(this.#origin);
    this.#origin = null;
    for (const { name, checksum } of files) this.setFile(name, checksum);
    for (const { name, tree, meta } of dirs) this.placeDir(name, meta, tree);
  }

  get files(): ReadonlyMap<string, Checksum> {
    this.#expand();
    return this.#files ?? NO_FILES;
  }

  get dirs(): ReadonlyMap<string, Folder> {
    this.#expand();
    return this.#dirs ?? NO_DIRS;
  }

  /** Empties it. */
  clear(): void {
    this.#origin = null;
    this.#files = undefined;
    this.#dirs = undefined;
  }

  /** Takes away what has that name, if anything. */
  remove(name: string): void {
    this.#expand();
    this.#files?.delete(name);
    this.#dirs?.delete(name);
  }

  setFile(name: string, checksum: Checksum): void {
    this.#expand();
    this.#dirs?.delete(name);
    this.#files ??= new Map();
    if (!this.#files.has(name)) this.#tally.add(name);
    this.#files.set(name, checksum);
  }

  /** Lays a folder of the repository here, unread. */
  placeDir(name: string, meta: Checksum | null = null, tree: Checksum | null = null): Folder {
    this.#expand();
    this.#files?.delete(name);
    this.#dirs ??= new Map();
    if (!this.#dirs.has(name)) this.#tally.add(name);
    const dir = new Folder(this.#repo, this.#tally, meta, tree);
    this.#dirs.set(name, dir);
    return dir;
  }

  /** The folder of that name, made where there is none; a file there goes. */
  ensureDir(name: string): Folder {
    this.#expand();
    this.#files?.delete(name);
    return this.#dirs?.get(name) ?? this.placeDir(name);
  }

  /** Whether it was said of every folder in it what it is. */
  get stated(): boolean {
    if (this.#origin !== null) return true;
    return [...this.dirs.values()].every((dir) => dir.meta !== null && dir.stated);
  }

  /** Stages what is new of it; its dirtree. `undefinedMeta`: what a folder gets that nothing was said of. */
  write(transaction: Transaction, undefinedMeta: Checksum): Checksum {
    if (this.#origin !== null) return this.#origin;
    const tree: DirTree = { files: [], dirs: [] };
    for (const [name, checksum] of this.files) tree.files.push({ name, checksum });
    for (const [name, dir] of this.dirs)
      tree.dirs.push({ name, tree: dir.write(transaction, undefinedMeta), meta: dir.meta ?? undefinedMeta });
    return transaction.writeMetadata('dirtree', serializeDirTree(tree));
  }
}

export const implicitMeta = (transaction: Transaction): Checksum =>
  transaction.writeMetadata('dirmeta', serializeDirMeta(IMPLICIT));

export const plainMeta = (transaction: Transaction): Checksum =>
  transaction.writeMetadata('dirmeta', serializeDirMeta(PLAIN));

/** Symlinks followed on the way to one place, as many as the kernel follows. */
const MAX_HOPS = 40;

/**
 * The folder that `names` lead to, with the symlinks in the tree followed as those who unpack into a root do; made where
 * it is missing with `create`, else null. Throws `corrupt` for a way through a file, out of the tree, or round and round.
 */
export function folderAt(
  root: Folder,
  names: readonly string[],
  targetOf: (file: Checksum) => string | null,
  create: boolean,
): Folder | null {
  const trail = [root];
  const left = names.toReversed();
  let hops = 0;
  for (let name = left.pop(); name !== undefined; name = left.pop()) {
    if (name === '' || name === '.') continue;
    if (name === '..') {
      if (trail.length > 1) trail.pop();
      else if (create) throw corrupt(`/${names.join('/')} leads out of the image by a symbolic link`);
      continue;
    }
    const here = trail.at(-1) ?? root;
    const file = here.files.get(name);
    if (file === undefined) {
      const next = create ? here.ensureDir(name) : here.dirs.get(name);
      if (next === undefined) return null;
      trail.push(next);
      continue;
    }
    const target = targetOf(file);
    if (target === null) throw corrupt(`/${names.join('/')}: ${name} is a file, not a folder`);
    if (++hops > MAX_HOPS) throw corrupt(`/${names.join('/')}: too many symbolic links on the way`);
    if (target.startsWith('/')) trail.length = 1;
    left.push(...target.split('/').reverse());
  }
  return trail.at(-1) ?? root;
}

/** The file at a path of a committed tree, links followed within it; undefined when there is none. */
export function fileIn(repo: Repo, tree: Checksum, path: string): Checksum | undefined {
  const root = new Folder(repo, new Tally(), null, tree);
  const targetOf = (file: Checksum): string | null => repo.loadFile(file).header.target || null;
  let names = path.split('/').filter((name) => name !== '' && name !== '.');
  for (let hops = 0; hops <= MAX_HOPS; hops++) {
    const name = names.at(-1);
    const above = names.slice(0, -1);
    const file = name === undefined ? undefined : folderAt(root, above, targetOf, false)?.files.get(name);
    const target = file === undefined ? null : targetOf(file);
    if (target === null) return file;
    names = [...(target.startsWith('/') ? [] : above), ...target.split('/')].filter((one) => one !== '' && one !== '.');
  }
  return undefined;
}
