import { createReadStream, readFileSync } from 'node:fs';
import { AtomicError } from '../error.ts';
import { encodeVardict, type Metadata } from '../gvariant/vardict.ts';
import type { Checksum } from '../objects/checksum.ts';
import { type Commit, serializeCommit } from '../objects/commit.ts';
import { serializeDirMeta } from '../objects/dirmeta.ts';
import { serializeDirTree } from '../objects/dirtree.ts';
import { breather, type Progress } from '../progress.ts';
import type { BeginOptions, Repo } from '../repo/repo.ts';
import type { Transaction, TransactionStats } from '../repo/transaction.ts';
import { type SignRequest, signCommitBytes } from '../sign/sign.ts';
import { Pool } from './pool.ts';
import { type DirNode, emptyDir, type FileNode, type Modifier, readCommitted, readDirectory } from './read-tree.ts';

export interface CommitOptions extends Modifier, BeginOptions {
  /** Laid over one another in this order. */
  trees: ({ dir: string } | { ref: string })[];
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

/** Files this large stream; smaller ones are read in one piece. */
const STREAM_FROM = 1 << 20;

/**
 * Commits trees to a repository. The tree is walked first, then its files are hashed (and, for an archive
 * repository, compressed on Node's thread pool), then the directories are written from the leaves up.
 * Throws `invalid` for what a tree cannot hold: devices, fifos, sockets, names that are not UTF-8.
 */
export async function commitTree(repo: Repo, options: CommitOptions): Promise<CommitResult> {
  await using transaction = await repo.begin(options);
  const root = emptyDir();
  const modifier: Modifier = repo.mode === 'bare-user-only' ? { ...options, canonicalPermissions: true } : options;
  let files = 0;
  for (const source of options.trees) {
    if ('dir' in source) files += readDirectory(source.dir, root, modifier, repo);
    else {
      const { tree, meta } = repo.loadCommit(repo.resolveRev(source.ref));
      readCommitted(repo, tree, meta, root);
    }
  }
  await hashFiles(transaction, root, files, options);
  const counts = { files: 0, directories: 0 };
  const { tree, meta } = writeDirectory(transaction, root, counts);

  const parent = options.parent !== undefined ? options.parent : branchTip(repo, options.branch);
  if (options.skipIfUnchanged && parent !== null && repo.hasObject('commit', parent)) {
    const before = repo.loadCommit(parent);
    if (before.tree === tree && before.meta === meta) {
      return { commit: parent, tree, meta, changed: false, entries: counts, stats: transaction.stats };
    }
  }
  const commit: Commit = {
    metadata: options.metadata ?? new Map(),
    parent,
    subject: options.subject ?? '',
    body: options.body ?? '',
    timestamp: options.timestamp ?? Math.floor(Date.now() / 1000),
    tree,
    meta,
  };
  const bytes = serializeCommit(commit);
  const checksum = transaction.writeMetadata('commit', bytes);
  const { sign } = options;
  const detached = sign === undefined ? options.detached : await signCommitBytes(bytes, options.detached ?? null, sign);
  if (detached !== undefined) transaction.writeDetached(checksum, encodeVardict(detached));
  if (options.branch !== undefined) transaction.setRef(options.branch, checksum);
  options.signal?.throwIfAborted();
  const stats = await transaction.commit();
  return { commit: checksum, tree, meta, changed: true, entries: counts, stats };
}

function branchTip(repo: Repo, branch: string | undefined): Checksum | null {
  return branch === undefined ? null : repo.readRef(branch);
}

async function hashFiles(
  transaction: Transaction,
  root: DirNode,
  total: number,
  options: CommitOptions,
): Promise<void> {
  const pool = new Pool(8);
  const links = new Map<string, Extract<FileNode, { kind: 'disk' }>>();
  const pause = breather(options.signal);
  let done = 0;
  const pending: DirNode[] = [root];
  try {
    for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
      for (const file of node.files.values()) {
        if (file.kind !== 'disk') continue;
        await pause();
        options.progress?.({ phase: 'Committing', done: ++done, total });
        const link = file.stat.nlink > 1 ? `${file.stat.dev}:${file.stat.ino}` : null;
        const twin = link === null ? undefined : links.get(link);
        if (twin?.checksum && sameOverrides(options)) {
          file.checksum = twin.checksum;
          continue;
        }
        if (link !== null) links.set(link, file);
        await pool.add(async () => {
          file.checksum = await hashFile(transaction, file);
        });
      }
      pending.push(...node.dirs.values());
    }
  } finally {
    await pool.drain().catch(() => {});
  }
  await pool.drain();
}

/** With a per-path filter two names of one inode may get different modes. */
const sameOverrides = (options: CommitOptions): boolean => options.filter === undefined;

async function hashFile(transaction: Transaction, file: Extract<FileNode, { kind: 'disk' }>): Promise<Checksum> {
  const { path, stat, header } = file;
  if (stat.isSymbolicLink()) return transaction.writeContent({ header, size: 0, source: Buffer.alloc(0) });
  if (stat.size > STREAM_FROM) {
    return transaction.writeContent({
      header,
      size: stat.size,
      source: createReadStream(path, { highWaterMark: 1 << 20 }),
    });
  }
  const content = readFileSync(path);
  return transaction.writeContent({ header, size: content.length, source: content });
}

function writeDirectory(
  transaction: Transaction,
  node: DirNode,
  counts: { files: number; directories: number },
): { tree: Checksum; meta: Checksum } {
  counts.directories++;
  if (node.meta === null) throw new AtomicError('invalid', 'no tree to commit');
  const meta =
    'checksum' in node.meta ? node.meta.checksum : transaction.writeMetadata('dirmeta', serializeDirMeta(node.meta));
  if (node.origin !== null) return { tree: node.origin, meta };
  const files = [...node.files].map(([name, file]) => {
    counts.files++;
    if (file.checksum === null) throw new AtomicError('failed', `${name} was not hashed`);
    return { name, checksum: file.checksum };
  });
  const dirs = [...node.dirs].map(([name, child]) => ({ name, ...writeDirectory(transaction, child, counts) }));
  return { tree: transaction.writeMetadata('dirtree', serializeDirTree({ files, dirs })), meta };
}
