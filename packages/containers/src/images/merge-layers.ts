import { type Checksum, corrupt, metadataString, type Repo, type Transaction } from '@atomic/ostree';
import { Folder, folderAt, implicitMeta, plainMeta } from './folder.ts';
import { LAYER_PLAIN } from './import-layer.ts';
import { type ImageLimits, Tally } from './limits.ts';
import { markOf } from './whiteouts.ts';

/** A tree in the repository: its dirtree and dirmeta. */
export interface Tree {
  tree: Checksum;
  meta: Checksum;
}

/** The files of a layer, whiteouts among them. Throws `corrupt` for a commit that is no layer's. */
export function layerTree(repo: Repo, layer: Checksum): Tree & { plain: boolean } {
  const { tree, metadata } = repo.loadCommit(layer);
  const found = repo.loadDirTree(tree).dirs.find(({ name }) => name === 'tree');
  if (found === undefined) throw corrupt(`${layer} is no layer of an image`);
  return { tree: found.tree, meta: found.meta, plain: metadataString(metadata, LAYER_PLAIN) === 'yes' };
}

/**
 * The tree of an image: its layers laid over one another, the lowest first, by their listings alone; no file is read.
 * What a layer says nothing of (the folders on the way to its files) stays as it is below, links included.
 */
export function mergeLayers(
  repo: Repo,
  transaction: Transaction,
  layers: readonly Checksum[],
  limits?: ImageLimits,
): Tree {
  const implicit = implicitMeta(transaction);
  const meta = plainMeta(transaction);
  const root = new Folder(repo, new Tally(limits), meta);
  const merge = new Merge(repo, root, implicit);
  for (const layer of layers) {
    const { tree, meta: said, plain } = layerTree(repo, layer);
    if (said !== implicit) root.meta = said;
    merge.lay([], root, tree, plain);
  }
  return { tree: root.write(transaction, meta), meta: root.meta ?? meta };
}

class Merge {
  readonly #repo: Repo;
  readonly #root: Folder;
  readonly #implicit: Checksum;

  constructor(repo: Repo, root: Folder, implicit: Checksum) {
    this.#repo = repo;
    this.#root = root;
    this.#implicit = implicit;
  }

  /** Lays the listing of a layer's folder over what is there. */
  lay(path: readonly string[], folder: Folder, tree: Checksum, plain: boolean): void {
    const { files, dirs } = this.#repo.loadDirTree(tree);
    const marks = files.flatMap(({ name }) => markOf(name) ?? []);
    if (marks.some(({ kind }) => kind === 'clears')) folder.clear();
    for (const mark of marks) {
      if (mark.kind !== 'removes') continue;
      folder.remove(mark.name);
    }
    for (const { name, checksum } of files) if (markOf(name) === null) folder.setFile(name, checksum);
    for (const { name, tree: below, meta } of dirs) {
      const implicit = meta === this.#implicit;
      if (plain && !folder.dirs.has(name) && !folder.files.has(name)) {
        folder.placeDir(name, meta, below);
        continue;
      }
      const into = this.#into(path, folder, name, implicit);
      if (!implicit) into.meta = meta;
      this.lay([...path, name], into, below, plain);
    }
  }

  #into(path: readonly string[], folder: Folder, name: string, implicit: boolean): Folder {
    const file = folder.files.get(name);
    const target = file === undefined || !implicit ? null : this.#targetOf(file);
    if (target === null) return folder.ensureDir(name);
    // The layer only passes through: it means what the link below leads to.
    const names = target.startsWith('/') ? target.split('/') : [...path, ...target.split('/')];
    return folderAt(this.#root, names, (other) => this.#targetOf(other), true) ?? folder.ensureDir(name);
  }

  #targetOf(file: Checksum): string | null {
    if (!this.#repo.hasObject('file', file)) return null;
    const { target } = this.#repo.loadFile(file).header;
    return target === '' ? null : target;
  }
}
