import {
  closeSync,
  fdatasyncSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fsyncPath } from '@atomic/linux';
import { reindexDeltas } from '../delta/reindex.ts';
import { inHashTableOrder } from '../gvariant/dict-order.ts';
import { encodeVardict, type Metadata } from '../gvariant/vardict.ts';
import { serializeCommit } from '../objects/commit.ts';
import { serializeDirMeta } from '../objects/dirmeta.ts';
import { serializeDirTree } from '../objects/dirtree.ts';
import type { BeginOptions, Repo } from '../repo/repo.ts';
import { type SignRequest, signCommitBytes, signSummaryBytes } from '../sign/sign.ts';
import { buildSummary } from './build-summary.ts';

/** The ref of the commits that carry a collection's metadata (OSTREE_REPO_METADATA_REF). */
export const METADATA_REF = 'ostree-metadata';

export interface UpdateSummaryOptions extends BeginOptions {
  /** Further metadata of the summary (and of the metadata commit). */
  metadata?: Metadata | undefined;
  /** Unix time in seconds that the summary and the metadata commit bear; the clock's unless given. */
  now?: number | undefined;
  /** Also make a new `ostree-metadata` commit, where the repository has a collection ID. */
  metadataCommit?: boolean | undefined;
  /** Sign the summary, and the metadata commit. */
  sign?: SignRequest | undefined;
}

/**
 * Writes the summary anew, as libostree's ostree_repo_regenerate_metadata(), under the shared lock. Summary and
 * signature are made aside and renamed one after the other; a signature that no longer fits goes.
 */
export async function updateSummary(repo: Repo, options: UpdateSummaryOptions = {}): Promise<void> {
  const now = options.now ?? Math.floor(Date.now() / 1000);
  const collectionId = repo.config.get('core', 'collection-id');
  if (options.metadataCommit && collectionId !== undefined) {
    await commitMetadata(repo, collectionId, now, options);
  }
  using _lock = await repo.lock('shared', options);
  const summary = buildSummary(repo, { now, metadata: options.metadata });
  const signature = options.sign === undefined ? null : await signSummaryBytes(summary, null, options.sign);
  reindexDeltas(repo);
  publish(repo, summary, signature);
}

function publish(repo: Repo, summary: Buffer, signature: Buffer | null): void {
  const folder = mkdtempSync(join(repo.path, 'tmp/summary-'));
  try {
    const aside = join(folder, 'summary');
    writeNew(aside, summary, repo.fsync);
    if (signature !== null) {
      writeNew(`${aside}.sig`, signature, repo.fsync);
      // An HTTP cache is to find both stale at the same time.
      const now = new Date();
      for (const file of [aside, `${aside}.sig`]) utimesSync(file, now, now);
    }
    renameSync(aside, join(repo.path, 'summary'));
    if (signature !== null) renameSync(`${aside}.sig`, join(repo.path, 'summary.sig'));
    else rmSync(join(repo.path, 'summary.sig'), { force: true });
    if (repo.fsync) fsyncPath(repo.path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function writeNew(path: string, bytes: Buffer, sync: boolean): void {
  const fd = openSync(path, 'wx', 0o644);
  try {
    writeFileSync(fd, bytes);
    if (sync) fdatasyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** An empty tree whose commit holds the collection's metadata, on top of the one before. */
async function commitMetadata(
  repo: Repo,
  collectionId: string,
  now: number,
  options: UpdateSummaryOptions,
): Promise<void> {
  await using transaction = await repo.begin(options);
  const metadata: Metadata = new Map(options.metadata ?? []);
  metadata.set('ostree.collection-binding', { type: 's', value: collectionId });
  metadata.set('ostree.ref-binding', { type: 'as', value: [METADATA_REF] });
  const meta = transaction.writeMetadata('dirmeta', serializeDirMeta({ uid: 0, gid: 0, mode: 0o40755, xattrs: [] }));
  const tree = transaction.writeMetadata('dirtree', serializeDirTree({ files: [], dirs: [] }));
  const bytes = serializeCommit({
    metadata: inHashTableOrder(metadata),
    parent: repo.tryResolveRev(METADATA_REF),
    subject: '',
    body: '',
    timestamp: now,
    tree,
    meta,
  });
  const checksum = transaction.writeMetadata('commit', bytes);
  if (options.sign !== undefined) {
    transaction.writeDetached(checksum, encodeVardict(await signCommitBytes(bytes, null, options.sign)));
  }
  transaction.setRef(METADATA_REF, checksum);
  await transaction.commit();
}

/**
 * Updates the summary after refs have moved, where the repository asks for that: `[core] auto-update-summary`, or its
 * old name `commit-update-summary`.
 */
export async function refreshSummary(repo: Repo, options: BeginOptions = {}): Promise<void> {
  const wanted = ['auto-update-summary', 'commit-update-summary'].some(
    (key) => repo.config.getBoolean('core', key) === true,
  );
  if (wanted) await updateSummary(repo, options);
}
