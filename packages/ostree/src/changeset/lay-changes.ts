import { lstatSync } from 'node:fs';
import type { Ingest } from '../commit/ingest.ts';
import type { Info } from '../commit/modifier.ts';
import { TreeNode } from '../commit/tree-node.ts';
import { AtomicError, corrupt } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import { S_IFDIR, S_IFLNK, S_IFREG } from '../objects/mode.ts';
import { BaseTree } from './base-tree.ts';
import {
  type Attributes,
  type Change,
  type DirChange,
  type FileChange,
  type HardlinkChange,
  type MetaChange,
  pathNames,
  type SymlinkChange,
} from './change.ts';
import { LayeredTree } from './layered-tree.ts';

/** What a path of a changeset becomes in the tree, or null to leave it out. */
export type PathMap = (path: string) => string | null;

/**
 * Lays a changeset over `root`, which is a committed tree or none. Directories that it does not touch stay as they are,
 * unread. As overlayfs and OCI layers have it, a removal hides what was there before, never what the changeset itself
 * brings, whichever comes first. Throws `invalid` for a changeset that does not fit the tree.
 */
export async function layChanges(
  job: Ingest,
  changes: AsyncIterable<Change>,
  root: TreeNode,
  map: PathMap | undefined,
): Promise<void> {
  const layer = new Layer(job, root, map);
  for await (const change of changes) {
    const turn = job.breathe();
    if (turn !== undefined) await turn;
    await layer.lay(change);
  }
  layer.settleLinks();
  await job.finish();
  // Layers of an image need not say what the root is.
  root.meta ??= job.writeMeta({ uid: 0, gid: 0, mode: S_IFDIR | 0o755, xattrs: [] });
}

/** A place for a file. */
interface Place {
  node: TreeNode;
  name: string;
}

/** The kernel takes no longer one. */
const LONGEST_TARGET = 4095;
/** Larger content of the tree below is passed on in pieces. */
const WHOLE = 1 << 20;

class Layer {
  readonly #job: Ingest;
  readonly #tree: LayeredTree;
  readonly #map: PathMap | undefined;
  /** The device from which files may be taken over by hard link, or null. */
  readonly #takesFrom: number | null;
  /** The tree before this changeset. */
  readonly #base: BaseTree | null;
  readonly #links: { change: HardlinkChange; path: string; to: string }[] = [];
  /** Directories that were left out, and all that is in them with them. */
  readonly #skipped = new Set<string>();

  constructor(job: Ingest, root: TreeNode, map: PathMap | undefined) {
    this.#job = job;
    this.#tree = new LayeredTree(job, root);
    this.#map = map;
    this.#takesFrom = job.options.adopt ? lstatSync(`${job.repo.path}/objects`).dev : null;
    this.#base = root.origin === null ? null : new BaseTree(job.repo, root.origin);
  }

  async lay(change: Change): Promise<void> {
    if (this.#skipped.size > 0 && this.#isSkipped(change.path)) return;
    const path = this.#mapped(change.path);
    if (path === null) {
      if (change.kind === 'dir') this.#skipped.add(change.path);
      return;
    }
    const names = pathNames(path);
    if (change.kind === 'dir') return this.#directory(change, names);
    if (change.kind === 'remove') return this.#remove(names);
    if (change.kind === 'clear') return this.#clear(names);
    const name = names.at(-1);
    if (name === undefined) throw new AtomicError('invalid', 'a changeset has its root as a file');
    if (change.kind === 'hardlink') return this.#hardlink(change, names);
    const absolute = `/${names.join('/')}`;
    const type = change.kind === 'symlink' ? S_IFLNK : S_IFREG;
    const info = this.#job.modifier.apply(absolute, { ...owned(change), mode: (change.mode & 0o7777) | type });
    if (info === null) return;
    const place = await this.#place(names, name);
    if (change.kind === 'file') await this.#file(change, place, absolute, info);
    else if (change.kind === 'symlink') await this.#symlink(change, place, absolute, info);
    else await this.#meta(change, place, absolute, info);
  }

  #mapped(path: string): string | null {
    return this.#map === undefined ? path : this.#map(path);
  }

  #isSkipped(path: string): boolean {
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1))
      if (this.#skipped.has(path.slice(0, end))) return true;
    return this.#skipped.has('');
  }

  /** Makes room for a file: whatever had the name is gone. */
  async #place(names: readonly string[], name: string): Promise<Place> {
    const node = this.#tree.parent(names);
    const { files } = this.#tree.ownOf(node);
    // Two changes for one place, as a map may bring: the first must not arrive after the second.
    if (files.has(name)) await this.#job.finish();
    files.add(name);
    node.dirs.delete(name);
    return { node, name };
  }

  async #directory(change: DirChange, names: readonly string[]): Promise<void> {
    const job = this.#job;
    const path = `/${names.join('/')}`;
    const info = job.modifier.apply(path, { ...owned(change), mode: (change.mode & 0o7777) | S_IFDIR });
    if (info === null) {
      this.#skipped.add(change.path);
      return;
    }
    const name = names.at(-1);
    const node = name === undefined ? this.#tree.root : await this.#nodeAt(names, name, change);
    node.meta = job.writeMeta({ ...info, xattrs: this.#xattrs(change, path, info) });
    this.#tree.ownOf(node).stated = true;
  }

  /** The directory with that name, made or taken from elsewhere in the tree below. */
  async #nodeAt(names: readonly string[], name: string, change: DirChange): Promise<TreeNode> {
    const parent = this.#tree.parent(names);
    const own = this.#tree.ownOf(parent);
    if (own.files.delete(name)) await this.#job.finish();
    parent.files.delete(name);
    const there = parent.dirs.get(name);
    if (there !== undefined && change.origin === undefined) return there;
    const node = new TreeNode();
    parent.dirs.set(name, node);
    // As in the kernel: what is not a directory there is not merged with.
    if (change.origin !== undefined)
      node.origin = this.#before(change.path).directory(this.#originNames(change.origin));
    return node;
  }

  #before(path: string): BaseTree {
    if (this.#base !== null) return this.#base;
    throw new AtomicError('invalid', `${path}: it goes on from a tree below, and there is none`, {
      hint: 'an overlay upper directory can only be the first change to its base',
    });
  }

  #originNames(origin: string): string[] {
    return pathNames(this.#mapped(origin) ?? origin);
  }

  #clear(names: readonly string[]): void {
    const node = this.#tree.descend(names, false);
    if (node !== null) this.#tree.clear(node);
  }

  #remove(names: readonly string[]): void {
    const name = names.at(-1);
    if (name === undefined) return;
    const parent = this.#tree.descend(names.slice(0, -1), false);
    if (parent !== null) this.#tree.hide(parent, name);
  }

  async #file(change: FileChange, place: Place, path: string, info: Info): Promise<void> {
    const job = this.#job;
    const { content } = change;
    if (content.from === 'stream') {
      const header = { ...info, target: '', xattrs: this.#xattrs(change, path, info) };
      return await job.store(place.node, place.name, header, { size: change.size, source: content.bytes });
    }
    if (content.from === 'object') return await this.#fromObject(content.checksum, change, place, path, info);
    const wanted = job.wanted(info, path);
    const { stat } = content;
    const unchanged = info.uid === stat.uid && info.gid === stat.gid && info.mode === stat.mode;
    const asIs = unchanged && content.clean && wanted.xattrs && wanted.label === null;
    const take =
      stat.dev === this.#takesFrom && (job.repo.mode === 'bare-user-only' || (job.repo.mode === 'bare' && asIs));
    const { xattrs } = change;
    await job.storeFile(place.node, place.name, content.path, stat, wanted, Date.now(), take, xattrs);
  }

  async #symlink(change: SymlinkChange, { node, name }: Place, path: string, info: Info): Promise<void> {
    const { target } = change;
    if (target === '') throw new AtomicError('invalid', `${path}: Symlink entry has no target`);
    if (target.length > LONGEST_TARGET) throw new AtomicError('invalid', `${path}: the symlink's target is too long`);
    const header = { ...info, target, xattrs: this.#xattrs(change, path, info) };
    await this.#job.store(node, name, header, { size: 0, source: Buffer.alloc(0) });
  }

  async #meta(change: MetaChange, place: Place, path: string, info: Info): Promise<void> {
    const checksum = this.#before(change.path).file(this.#originNames(change.origin));
    if (checksum === null) {
      throw new AtomicError(
        'invalid',
        `${path}: its content is that of /${change.origin}, which the base does not have`,
        {
          hint: 'was the overlay mounted on another tree than this base?',
        },
      );
    }
    await this.#fromObject(checksum, change, place, path, info);
  }

  /** A file with the content of an object, and owner, mode and attributes of a change. */
  async #fromObject(
    checksum: Checksum,
    change: FileChange | MetaChange,
    { node, name }: Place,
    path: string,
    info: Info,
  ): Promise<void> {
    const { header, size, ...file } = this.#job.repo.loadFile(checksum);
    if (header.target !== '') throw corrupt(`${path}: its content is a symlink, ${checksum}`);
    const source = size > WHOLE ? file.open() : file.readContent();
    const changed = { ...info, target: '', xattrs: this.#xattrs(change, path, info) };
    await this.#job.store(node, name, changed, { size, source });
  }

  #hardlink(change: HardlinkChange, names: readonly string[]): void {
    const to = this.#mapped(change.to) ?? change.to;
    const link = { change, path: names.join('/'), to };
    // Made at once when it can be: the name may come to mean another file later in the changeset.
    if (!this.#link(link)) this.#links.push(link);
  }

  #link({ path, to }: { path: string; to: string }): boolean {
    const checksum = this.#tree.fileAt(pathNames(to));
    if (checksum === undefined || checksum === '') return false;
    const names = pathNames(path);
    const name = names.at(-1) ?? '';
    const node = this.#tree.parent(names);
    this.#tree.ownOf(node).files.add(name);
    node.dirs.delete(name);
    node.setFile(this.#job.repo, name, checksum);
    return true;
  }

  /** Makes the hard links whose targets came after them. */
  settleLinks(): void {
    // Those that wait for another link are tried again when that is made, so that a long chain costs no more than it has.
    const waiting = Map.groupBy(this.#links, ({ to }) => pathNames(to).join('/'));
    const lost = new Set(this.#links);
    const ready = [...this.#links];
    for (let link = ready.pop(); link !== undefined; link = ready.pop()) {
      if (!lost.has(link) || !this.#link(link)) continue;
      lost.delete(link);
      ready.push(...(waiting.get(link.path) ?? []));
    }
    for (const { change } of lost)
      throw new AtomicError('invalid', `${change.path}: a hard link to ${change.to}, which is not there`);
  }

  #xattrs({ xattrs }: Attributes, path: string, info: Info) {
    const { label, xattrs: wanted } = this.#job.wanted(info, path);
    return this.#job.xattrsWith(label, wanted ? xattrs : []);
  }
}

const owned = ({ uid, gid }: Attributes) => ({ uid, gid });
