import type { Ingest } from '../commit/ingest.ts';
import { TreeNode } from '../commit/tree-node.ts';
import { AtomicError } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import { S_IFDIR } from '../objects/mode.ts';

/** What a changeset has brought into a directory. */
interface Own {
  /** It has a change of its own, not only something in it. */
  stated: boolean;
  files: Set<string>;
}

const DEFAULT_MODE = S_IFDIR | 0o755;
/** Symlinks followed on the way to one place. */
const MAX_HOPS = 40;

/** A tree over which a changeset is being laid: it knows what was there before and what the changeset has brought. */
export class LayeredTree {
  readonly root: TreeNode;
  readonly #job: Ingest;
  readonly #own = new Map<TreeNode, Own>();

  constructor(job: Ingest, root: TreeNode) {
    this.#job = job;
    this.root = root;
  }

  /**
   * The directory at `names`, symlinks followed within the tree as those who unpack layers do. With `create` what is
   * missing is made, and a file in the way is an error; without, either gives null.
   */
  descend(names: readonly string[], create: boolean): TreeNode | null {
    const { repo } = this.#job;
    const trail = [this.root];
    const left = names.toReversed();
    let hops = 0;
    for (let name = left.pop(); name !== undefined; name = left.pop()) {
      const node = trail.at(-1) ?? this.root;
      if (name === '' || name === '.') continue;
      if (name === '..') {
        if (trail.length > 1) trail.pop();
        continue;
      }
      node.expand(repo);
      let next = node.dirs.get(name);
      const file = next === undefined ? node.files.get(name) : undefined;
      if (file !== undefined) {
        const target = this.#targetOf(file);
        if (target === null) {
          if (!create) return null;
          throw new AtomicError('invalid', `/${names.join('/')}: ${name} is a file, not a directory`);
        }
        if (++hops > MAX_HOPS)
          throw new AtomicError('invalid', `/${names.join('/')}: Too many levels of symbolic links`);
        if (target.startsWith('/')) trail.length = 1;
        left.push(...target.split('/').reverse());
        continue;
      }
      if (next === undefined) {
        if (!create) return null;
        next = new TreeNode();
        next.meta = this.#defaultMeta();
        node.dirs.set(name, next);
      }
      trail.push(next);
    }
    if (create) for (const node of trail) this.ownOf(node);
    return trail.at(-1) ?? this.root;
  }

  #targetOf(file: Checksum): string | null {
    const mine = this.#job.symlinks.get(file);
    if (mine !== undefined) return mine;
    // What this transaction has stored is no symlink then; one still being stored never is.
    if (file === '' || !this.#job.repo.hasObject('file', file)) return null;
    const { target } = this.#job.repo.loadFile(file).header;
    return target === '' ? null : target;
  }

  /** What the changeset has in a directory, to be added to. */
  ownOf(node: TreeNode): Own {
    let own = this.#own.get(node);
    if (own === undefined) {
      own = { stated: false, files: new Set() };
      this.#own.set(node, own);
    }
    return own;
  }

  /** The directory that `names` lie in, made when it is not there; its entries are read. */
  parent(names: readonly string[]): TreeNode {
    const node = this.descend(names.slice(0, -1), true) ?? this.root;
    node.expand(this.#job.repo);
    return node;
  }

  /** The content object at a place, or undefined; the empty string for one still being stored. */
  fileAt(names: readonly string[]): Checksum | undefined {
    const name = names.at(-1);
    const parent = name === undefined ? null : this.descend(names.slice(0, -1), false);
    parent?.expand(this.#job.repo);
    return parent?.files.get(name ?? '');
  }

  /** Takes away what was in a directory before this changeset. */
  clear(node: TreeNode): void {
    const own = this.#own.get(node);
    if (own === undefined) {
      node.origin = null;
      node.files.clear();
      node.dirs.clear();
      return;
    }
    node.expand(this.#job.repo);
    for (const name of [...node.files.keys(), ...node.dirs.keys()]) this.hide(node, name);
  }

  /** Takes an entry away, as far as it was there before this changeset. */
  hide(parent: TreeNode, name: string): void {
    parent.expand(this.#job.repo);
    if (parent.files.has(name)) {
      if (this.#own.get(parent)?.files.has(name) !== true) parent.files.delete(name);
      return;
    }
    const dir = parent.dirs.get(name);
    if (dir === undefined) return;
    const own = this.#own.get(dir);
    if (own === undefined) parent.dirs.delete(name);
    else {
      this.clear(dir);
      if (!own.stated) dir.meta = this.#defaultMeta();
    }
  }

  #defaultMeta(): Checksum {
    return this.#job.writeMeta({ uid: 0, gid: 0, mode: DEFAULT_MODE, xattrs: [] });
  }
}
