import type { Stats } from 'node:fs';
import type { Xattr } from '@atomic/linux';
import { AtomicError } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import { type DirMeta, serializeDirMeta } from '../objects/dirmeta.ts';
import type { FileHeader } from '../objects/file.ts';
import { S_IFDIR } from '../objects/mode.ts';
import { breather, type Progress } from '../progress.ts';
import type { Repo } from '../repo/repo.ts';
import type { FileToStore } from '../repo/store-file.ts';
import type { Transaction } from '../repo/transaction.ts';
import { startWork, type Work } from '../workers/work.ts';
import type { DeviceInodes } from './device-inodes.ts';
import type { Info, ModifierRun } from './modifier.ts';
import type { SizeList } from './sizes.ts';
import type { StatCache, Wanted } from './stat-cache.ts';
import type { TreeNode } from './tree-node.ts';
import { writeWhenComplete } from './write-directory.ts';

const SELINUX = Buffer.from('security.selinux');

export interface IngestOptions {
  modifier: ModifierRun;
  cache: StatCache | null;
  devices: DeviceInodes | null;
  sizes: SizeList | null;
  /** Take files of a tree that is consumed over by hard link, where owner, mode and attributes are right as they are. */
  adopt: boolean;
  /** Take files that are hard links to objects for those objects, whatever the modifier says. */
  canonicalDevices: boolean;
  /** What is read now is the last to be laid into the tree: its directories are complete once they were read. */
  last: boolean;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

/** A place in a tree that waits for its content object. */
interface Target {
  node: TreeNode;
  name: string;
}

interface Pending {
  stat: Stats;
  wanted: Wanted;
  lookedAt: number;
  targets: Target[];
}

/** Turns files and directories into objects of a transaction, for all trees of one commit. */
export class Ingest implements AsyncDisposable {
  readonly repo: Repo;
  readonly transaction: Transaction;
  readonly options: IngestOptions;
  readonly modifier: ModifierRun;
  /** What has been written of the tree. */
  readonly entries = { files: 0, directories: 0 };
  /** Targets of the symlinks that {@link store} was given: the repository has none of them yet. */
  readonly symlinks = new Map<Checksum, string>();
  #work: Work<'store'> | null = null;
  /** Files handed to the workers; one item may stand for several names of an inode. */
  readonly #pending = new Map<FileToStore, Pending>();
  readonly #links = new Map<string, { item: FileToStore } | { checksum: Checksum }>();
  readonly #metas = new Map<string, Checksum>();
  readonly #pause: () => Promise<void> | undefined;
  #done = 0;

  constructor(repo: Repo, transaction: Transaction, options: IngestOptions) {
    this.repo = repo;
    this.transaction = transaction;
    this.options = options;
    this.modifier = options.modifier;
    this.#pause = breather(options.signal);
  }

  /** Lets signals through now and then; a promise only when it is time. */
  breathe(): Promise<void> | undefined {
    return this.#pause();
  }

  wanted(info: Info, path: string): Wanted {
    const { uid, gid, mode } = info;
    return { uid, gid, mode, xattrs: this.modifier.readXattrs, label: this.modifier.label(path, mode) };
  }

  /** What is remembered of a file or directory, when that object is still there. */
  remembered(type: 'file' | 'dirmeta', stat: Stats, wanted: Wanted): Checksum | null {
    const checksum = this.options.cache?.find(stat, wanted) ?? null;
    return checksum !== null && this.transaction.holds(type, checksum) ? checksum : null;
  }

  remember(stat: Stats, wanted: Wanted, checksum: Checksum, path: string, lookedAt: number): void {
    this.options.cache?.note(stat, wanted, checksum, path, lookedAt);
  }

  /** Stages a directory's metadata. */
  writeMeta(meta: DirMeta): Checksum {
    const plain = meta.xattrs.length === 0 ? `${meta.uid}:${meta.gid}:${meta.mode}` : null;
    const known = plain === null ? undefined : this.#metas.get(plain);
    if (known !== undefined) {
      this.transaction.stats.metadataTotal++;
      return known;
    }
    const bytes = serializeDirMeta({ ...meta, mode: (meta.mode & 0o7777) | S_IFDIR });
    const checksum = this.transaction.writeMetadata('dirmeta', bytes);
    this.options.sizes?.add('dirmeta', checksum, bytes.length);
    if (plain !== null) this.#metas.set(plain, checksum);
    return checksum;
  }

  /** The attributes an entry gets: those it has, with the label in place of theirs. */
  xattrsWith(label: string | null, own: readonly Xattr[]): Xattr[] {
    if (label === null) return [...own];
    return [...own.filter(({ name }) => !name.equals(SELINUX)), labelXattr(label)];
  }

  /** Takes a content object that is there already into a tree. */
  take(node: TreeNode, name: string, checksum: Checksum, size: number): void {
    this.options.progress?.({ phase: 'Committing', done: ++this.#done });
    node.setFile(this.repo, name, checksum);
    this.options.sizes?.add('file', checksum, size);
  }

  /** Stores content that is in memory or comes from another object, at once. */
  async store(
    node: TreeNode,
    name: string,
    header: FileHeader,
    content: { size: number; source: Buffer | AsyncIterable<Uint8Array> },
  ): Promise<void> {
    const checksum = await this.transaction.writeContent({ header, ...content });
    if (header.target !== '') this.symlinks.set(checksum, header.target);
    this.take(node, name, checksum, header.target === '' ? content.size : Buffer.byteLength(header.target));
  }

  /**
   * Stores a file from disk, sooner or later: `node` has it when {@link finish} returns. `own`: the attributes it has, where
   * those on disk are not.
   */
  async storeFile(
    node: TreeNode,
    name: string,
    path: string,
    stat: Stats,
    wanted: Wanted,
    lookedAt: number,
    adopt: boolean,
    own?: readonly Xattr[],
  ): Promise<void> {
    const target = { node, name };
    node.waiting++;
    const { uid, gid, mode, label } = wanted;
    const link = stat.nlink > 1 ? `${stat.dev}:${stat.ino}:${uid}:${gid}:${mode}:${label ?? ''}` : null;
    const twin = link === null ? undefined : this.#links.get(link);
    if (twin !== undefined) {
      this.transaction.stats.contentTotal++;
      if ('checksum' in twin) return this.#arrived(target, twin.checksum, stat.size);
      node.setFile(this.repo, name, '');
      this.#pending.get(twin.item)?.targets.push(target);
      return;
    }
    node.setFile(this.repo, name, '');
    const xattrs = this.xattrsWith(label, wanted.xattrs ? (own ?? []) : []);
    const readXattrs = wanted.xattrs && own === undefined;
    const item: FileToStore = { path, uid, gid, mode, size: stat.size, xattrs, readXattrs, adopt };
    this.#pending.set(item, { stat, wanted, lookedAt, targets: [target] });
    if (link !== null) this.#links.set(link, { item });
    this.#work ??= await startWork(
      'store',
      { target: this.transaction.target },
      {
        signal: this.options.signal,
        each: (stored, done) => {
          this.transaction.noteStored(stored);
          this.#stored(done, stored.checksum);
        },
      },
    );
    const wait = this.#work.push(item, stat.size);
    if (wait !== undefined) await wait;
  }

  /** What a place has waited for is there. */
  #arrived({ node, name }: Target, checksum: Checksum, size: number): void {
    this.take(node, name, checksum, size);
    node.waiting--;
    writeWhenComplete(this, node);
  }

  /** Nothing more comes into a directory, nor will anything be laid over it. */
  complete(node: TreeNode): void {
    node.complete = true;
    writeWhenComplete(this, node);
  }

  #stored(item: FileToStore, checksum: Checksum): void {
    const pending = this.#pending.get(item);
    if (pending === undefined) return;
    this.#pending.delete(item);
    const { stat, wanted, lookedAt, targets } = pending;
    for (const target of targets) this.#arrived(target, checksum, stat.size);
    // Taken over by a hard link, the inode has changed; it is the object's now.
    if (!item.adopt) this.remember(stat, wanted, checksum, item.path, lookedAt);
    if (stat.nlink > 1) {
      const { uid, gid, mode, label } = wanted;
      this.#links.set(`${stat.dev}:${stat.ino}:${uid}:${gid}:${mode}:${label ?? ''}`, { checksum });
    }
  }

  /** Waits until every file so far is stored. */
  async finish(): Promise<void> {
    await this.#work?.finish();
    if (this.#pending.size > 0) throw new AtomicError('failed', 'files were left unstored');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#work?.[Symbol.asyncDispose]();
  }
}

/** Stock stores labels with their NUL, as the kernel shows them. */
const labelXattr = (label: string): Xattr => ({ name: SELINUX, value: Buffer.from(`${label}\0`) });
