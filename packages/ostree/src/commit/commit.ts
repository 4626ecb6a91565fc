import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Change } from '../changeset/change.ts';
import { AtomicError } from '../error.ts';
import { inHashTableOrder } from '../gvariant/dict-order.ts';
import { encodeVardict, type Metadata } from '../gvariant/vardict.ts';
import type { Checksum } from '../objects/checksum.ts';
import { type Commit, serializeCommit } from '../objects/commit.ts';
import { parseDirTree } from '../objects/dirtree.ts';
import type { Progress } from '../progress.ts';
import type { BeginOptions, Repo } from '../repo/repo.ts';
import type { Transaction, TransactionStats } from '../repo/transaction.ts';
import { type SignRequest, signCommitBytes } from '../sign/sign.ts';
import { kernelRelease } from './bootable.ts';
import { DeviceInodes } from './device-inodes.ts';
import { Ingest } from './ingest.ts';
import { type Modifier, ModifierRun } from './modifier.ts';
import type { TarOptions } from './read-archive.ts';
import { readCommitted } from './read-committed.ts';
import { readDirectory } from './read-directory.ts';
import { SizeList } from './sizes.ts';
import { StatCache } from './stat-cache.ts';
import { TreeNode } from './tree-node.ts';
import { writeDirectory } from './write-directory.ts';

/**
 * Something to lay into a commit: a directory, a commit's tree, a tar or cpio archive (compressed or not), or a
 * changeset, whose paths `map` may change (null leaves one out).
 */
export type TreeSource =
  | { dir: string }
  | { ref: string }
  | { tar: string | AsyncIterable<Uint8Array> }
  | { changes: AsyncIterable<Change>; map?: ((path: string) => string | null) | undefined };

export interface CommitOptions extends Modifier, BeginOptions {
  /** Laid over one another in this order. */
  trees: TreeSource[];
  /** A commit to start from; no modifier applies to it. */
  base?: string | undefined;
  tar?: TarOptions | undefined;
  /** The ref to move; without one the commit is an orphan. */
  branch?: string | undefined;
  /** Default: the branch's tip. */
  parent?: Checksum | null | undefined;
  subject?: string | undefined;
  body?: string | undefined;
  /** Unix seconds; default now. */
  timestamp?: number | undefined;
  metadata?: Metadata | undefined;
  detached?: Metadata | undefined;
  /** Signatures to make, kept in the detached metadata. */
  sign?: SignRequest | undefined;
  /** Make no commit when the tree is the parent's. */
  skipIfUnchanged?: boolean | undefined;
  /** Note the kernel in the tree's `usr/lib/modules` in the metadata; there must be one. */
  bootable?: boolean | undefined;
  /** Add metadata that depends on the tree, which is stored by then. */
  treeMetadata?: ((tree: Checksum, meta: Checksum) => Promise<Metadata> | Metadata) | undefined;
  /** Know files that are hard links to objects without reading them. */
  linkSpeedup?: boolean | undefined;
  /** Moreover take them for those objects whatever the modifier says: whoever changes one breaks its link first. */
  canonicalDevices?: boolean | undefined;
  /** Remove the directories once they are committed. */
  consume?: boolean | undefined;
  /** Remember what was hashed, so that what has not changed is not read the next time (the default). */
  cache?: boolean | undefined;
  /** Told of each listed path that no tree had, before the commit fails for it. */
  onUnmatched?: ((list: 'statoverride' | 'skip-list', path: string) => void) | undefined;
  progress?: Progress | undefined;
}

export interface CommitResult {
  commit: Checksum;
  /** Of the root. */
  tree: Checksum;
  meta: Checksum;
  /** False when `skipIfUnchanged` found nothing to do; `commit` is then the parent. */
  changed: boolean;
  entries: { files: number; directories: number };
  stats: TransactionStats;
}

/**
 * Commits trees to a repository: files are hashed and stored while the trees are walked, in several threads when
 * there are many, then the directories are written from the leaves up, and the ref moves last.
 * Throws `invalid` for what a tree cannot hold: devices, fifos, sockets, names that are not UTF-8.
 */
export async function commitTree(repo: Repo, options: CommitOptions): Promise<CommitResult> {
  // A commit hashes everything again, so what an interrupted one staged is of no use.
  const begin = () => repo.begin({ ...options, resumable: false });
  let transaction = await begin();
  try {
    const modifier = new ModifierRun(options, {
      disableXattrs: repo.config.getBoolean('core', 'disable-xattrs') === true,
      bareUserOnly: repo.mode === 'bare-user-only',
    });
    const cache = options.cache === false ? null : new StatCache(repo);
    const sizes = options.generateSizes && repo.archive ? new SizeList() : null;
    const { root, tree, meta, entries } = await writeTrees(repo, transaction, modifier, cache, sizes, options);

    const parent = options.parent !== undefined ? options.parent : branchTip(repo, options.branch);
    if (options.skipIfUnchanged && parent !== null && repo.hasObject('commit', parent)) {
      const before = repo.loadCommit(parent);
      if (before.tree === tree && before.meta === meta) {
        return { commit: parent, tree, meta, changed: false, entries, stats: transaction.stats };
      }
    }
    let metadata: Metadata = new Map(options.metadata);
    if (options.bootable) {
      metadata.set('ostree.bootable', { type: 'b', value: true });
      const open = transaction;
      const staged = { loadDirTree: (of: Checksum) => parseDirTree(open.loadObject('dirtree', of)) };
      metadata.set('ostree.linux', { type: 's', value: kernelRelease(staged, root) });
      metadata = inHashTableOrder(metadata);
    }
    if (options.treeMetadata !== undefined) {
      // It reads the repository, so the tree goes there first; nothing points to it yet.
      const { stats } = transaction;
      await transaction.commit();
      transaction = await begin();
      Object.assign(transaction.stats, stats);
      for (const [key, value] of await options.treeMetadata(tree, meta)) metadata.set(key, value);
      metadata = inHashTableOrder(metadata);
    }
    const sized = sizes?.value(transaction.stager) ?? null;
    if (sized !== null) metadata.set('ostree.sizes', { type: 'aay', value: sized });
    const commit: Commit = {
      metadata,
      parent,
      subject: options.subject ?? '',
      body: options.body ?? '',
      timestamp: options.timestamp ?? Math.floor(Date.now() / 1000),
      tree,
      meta,
    };
    const bytes = serializeCommit(commit);
    const checksum = transaction.writeMetadata('commit', bytes);
    const { sign, detached } = options;
    const attached = sign === undefined ? detached : await signCommitBytes(bytes, detached ?? null, sign);
    if (attached !== undefined) transaction.writeDetached(checksum, encodeVardict(attached));
    if (options.branch !== undefined) transaction.setRef(options.branch, checksum);
    options.signal?.throwIfAborted();
    const stats = await transaction.commit();
    cache?.save();
    // Only now: until the commit is durable a consumed directory is the only copy.
    if (options.consume) for (const source of options.trees) if ('dir' in source) removeTree(source.dir);
    return { commit: checksum, tree, meta, changed: true, entries, stats };
  } finally {
    await transaction[Symbol.asyncDispose]();
  }
}

interface Written {
  root: TreeNode;
  tree: Checksum;
  meta: Checksum;
  entries: { files: number; directories: number };
}

/** Lays the trees over one another and writes what comes of it. */
async function writeTrees(
  repo: Repo,
  transaction: Transaction,
  modifier: ModifierRun,
  cache: StatCache | null,
  sizes: SizeList | null,
  options: CommitOptions,
): Promise<Written> {
  await using job = new Ingest(repo, transaction, {
    modifier,
    cache,
    devices: options.linkSpeedup || options.canonicalDevices ? new DeviceInodes(repo) : null,
    sizes,
    adopt: options.consume === true,
    canonicalDevices: options.canonicalDevices === true,
    last: false,
    signal: options.signal,
    progress: options.progress,
  });
  const root = new TreeNode();
  if (options.base !== undefined) {
    const base = repo.loadCommit(repo.resolveRev(options.base));
    root.meta = base.meta;
    root.origin = base.tree;
  }
  const last = options.trees.at(-1);
  for (const source of options.trees) {
    job.options.last = source === last;
    if ('dir' in source) await readDirectory(job, source.dir, root);
    else if ('changes' in source) {
      const { layChanges } = await import('../changeset/lay-changes.ts');
      await layChanges(job, source.changes, root, source.map);
    } else if ('tar' in source) {
      const { readArchive } = await import('./read-archive.ts');
      await readArchive(job, source.tar, root, options.tar ?? {});
    } else {
      const { tree, meta } = repo.loadCommit(repo.resolveRev(source.ref));
      await readCommitted(job, tree, meta, root);
    }
  }
  refuseUnmatched(modifier, options);
  return { root, ...writeDirectory(job, root), entries: job.entries };
}

function refuseUnmatched(modifier: ModifierRun, options: CommitOptions): void {
  const { statoverride, skipList } = modifier.unmatched();
  for (const path of statoverride) options.onUnmatched?.('statoverride', path);
  if (statoverride.length > 0) throw new AtomicError('invalid', 'Unmatched statoverride paths');
  for (const path of skipList) options.onUnmatched?.('skip-list', path);
  if (skipList.length > 0) throw new AtomicError('invalid', 'Unmatched skip-list paths');
}

function branchTip(repo: Repo, branch: string | undefined): Checksum | null {
  return branch === undefined ? null : repo.readRef(branch);
}

/** Removes a consumed directory; of the working directory itself only what is in it can go. */
function removeTree(path: string): void {
  const paths = path === '.' ? readdirSync(path).map((name) => join(path, name)) : [path];
  for (const one of paths) rmSync(one, { recursive: true, force: true });
}
