import { lstatSync, readdirSync, readlinkSync, rmSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { errnoCode } from '@atomic/linux';
import { AtomicError } from '../error.ts';
import { type Checksum, isChecksum } from '../objects/checksum.ts';
import { breather, type Progress } from '../progress.ts';
import { setPartial } from '../repo/commit-state.ts';
import { deleteObject, enableTombstones } from '../repo/delete-object.ts';
import { Reach } from '../repo/reachable.ts';
import { listCollectionRefs } from '../repo/refs.ts';
import type { BeginOptions, Repo } from '../repo/repo.ts';
import { commitsBeginning } from '../repo/resolve-rev.ts';
import { pruneDeltasLocked } from './prune-deltas.ts';

export interface PruneOptions extends BeginOptions {
  /** Keep only what refs (and `keep`) reach; otherwise every commit in the repository is kept with its objects. */
  refsOnly?: boolean | undefined;
  /** How many parents of a commit to keep; -1 (the default) for all. */
  depth?: number | undefined;
  /** More commits to keep, without their parents. */
  keep?: Iterable<Checksum> | undefined;
  /** Of the refs (`REMOTE:REF` for a remote's) named here keep so many parents. Implies `refsOnly`. */
  retainDepths?: ReadonlyMap<string, number> | undefined;
  /** Keep the commits of refs that are not older than this (Unix seconds), and what the refs point to. Implies `refsOnly`. */
  keepYoungerThan?: number | undefined;
  /** Only commits of these refs may go. Implies `refsOnly`. Throws `not-found` for one that does not exist. */
  onlyBranches?: readonly string[] | undefined;
  /** Delete commit objects only, and look at nothing else. */
  commitsOnly?: boolean | undefined;
  /** Only count. */
  dryRun?: boolean | undefined;
  progress?: Progress | undefined;
}

export interface PruneResult {
  /** Objects there were, detached metadata and tombstones not counted. */
  total: number;
  deleted: number;
  /** Size of the deleted objects' files in bytes. */
  freedBytes: number;
}

/**
 * Deletes loose objects that no kept commit reaches, under the exclusive lock; then static deltas to commits that are
 * gone, and summaries cached for remotes that are. Commits go first: a crash then leaves objects without an owner (the
 * next prune's work), never a commit without its objects.
 */
export async function prune(repo: Repo, options: PruneOptions = {}): Promise<PruneResult> {
  using _lock = await repo.lock('exclusive', options);
  const reach = new Reach(repo, { commitsOnly: options.commitsOnly });
  const pause = breather(options.signal);
  for (const keep of roots(repo, options)) {
    keep(reach);
    await pause();
  }
  const result: PruneResult = { total: 0, deleted: 0, freedBytes: 0 };
  const doomed = findDoomed(repo, reach, options.commitsOnly === true, result);
  let done = 0;
  for (const object of doomed) {
    const turn = pause();
    if (turn !== undefined) {
      await turn;
      options.progress?.({ phase: 'prune objects', done, total: doomed.length });
    }
    done++;
    result.freedBytes += lstatSync(object.path, { throwIfNoEntry: false })?.size ?? 0;
    result.deleted++;
    if (!options.dryRun) remove(repo, object);
  }
  if (!options.dryRun) {
    pruneDeltasLocked(repo, null);
    pruneSummaryCache(repo);
  }
  return result;
}

/** What is to be kept, each a step of work. */
function* roots(repo: Repo, options: PruneOptions): Generator<(reach: Reach) => void> {
  const { depth = -1, keepYoungerThan, retainDepths, onlyBranches } = options;
  const byBranch = keepYoungerThan !== undefined || retainDepths !== undefined || onlyBranches !== undefined;
  for (const branch of onlyBranches ?? []) repo.resolveRev(branch);
  const only = onlyBranches === undefined ? null : new Set(onlyBranches);
  for (const [refspec, commit] of repo.listRefs()) {
    const retained = retainDepths?.get(refspec) ?? (only !== null && !only.has(refspec) ? -1 : undefined);
    if (retained === undefined && keepYoungerThan !== undefined) {
      yield (reach) => keepYounger(reach, commit, keepYoungerThan);
    } else yield (reach) => reach.addHistory(commit, retained ?? depth);
  }
  for (const { checksum } of listCollectionRefs(repo, { remotes: false })) {
    yield (reach) => reach.addHistory(checksum, depth);
  }
  for (const commit of options.keep ?? []) yield (reach) => reach.addHistory(commit, 0);
  if (options.refsOnly || byBranch) return;
  for (const commit of commitsBeginning(repo, '')) yield (reach) => reach.addHistory(commit, depth);
}

/** Keeps a ref's commit, and its history down to the first commit that is older than `limit`. */
function keepYounger(reach: Reach, start: Checksum, limit: number): void {
  let commit = reach.addCommit(start);
  while (commit !== null && commit.timestamp >= limit && commit.parent !== null) {
    const next = reach.peekCommit(commit.parent);
    if (next === null || next.timestamp < limit) return;
    commit = reach.addCommit(commit.parent);
  }
}

interface Doomed {
  path: string;
  type: 'file' | 'dirtree' | 'dirmeta' | 'commit' | 'payload-link';
  checksum: Checksum;
}

/** The objects to delete, commits first; counts all there are on the way. */
function findDoomed(repo: Repo, reach: Reach, commitsOnly: boolean, result: PruneResult): Doomed[] {
  const doomed: Doomed[] = [];
  for (const folder of readdirSync(join(repo.path, 'objects'))) {
    if (!/^[0-9a-f]{2}$/.test(folder)) continue;
    const base = `${repo.path}/objects/${folder}`;
    for (const name of readdirSync(base)) {
      const type = COUNTED.get(name.slice(63));
      if (type === undefined || (commitsOnly && type !== 'commit') || name[62] !== '.') continue;
      const checksum = folder + name.slice(0, 62);
      if (!isChecksum(checksum)) continue;
      result.total++;
      if (reach.has(type, checksum)) continue;
      const path = `${base}/${name}`;
      if (type === 'payload-link' && payloadKept(path, reach)) continue;
      doomed.push({ path, type, checksum });
    }
  }
  return doomed.sort((a, b) => Number(b.type === 'commit') - Number(a.type === 'commit'));
}

/** Extensions of the objects that libostree lists, and so counts. */
const COUNTED = new Map<string, Doomed['type']>([
  ['file', 'file'],
  ['filez', 'file'],
  ['dirtree', 'dirtree'],
  ['dirmeta', 'dirmeta'],
  ['commit', 'commit'],
  ['payload-link', 'payload-link'],
]);

/** A payload link lives as long as the file it points to. */
function payloadKept(path: string, reach: Reach): boolean {
  try {
    const target = /([0-9a-f]{2})\/([0-9a-f]{62})\.file$/.exec(readlinkSync(path));
    return target !== null && reach.has('file', `${target[1]}${target[2]}`);
  } catch (error) {
    if (errnoCode(error) === 'ENOENT' || errnoCode(error) === 'EINVAL') return false;
    throw error;
  }
}

function remove(repo: Repo, { path, type, checksum }: Doomed): void {
  if (type === 'commit') {
    deleteObject(repo, type, checksum);
    setPartial(repo, checksum, null);
    return;
  }
  try {
    unlinkSync(path);
  } catch (error) {
    if (errnoCode(error) !== 'ENOENT') throw error;
  }
  if (type === 'file' && repo.mode === 'bare-split-xattrs') {
    rmSync(repo.objectPath('file-xattrs-link', checksum), { force: true });
  }
}

/** Summaries are cached by the remote's name: those of remotes that are gone have no use. */
function pruneSummaryCache(repo: Repo): void {
  const folder = join(repo.path, 'tmp/cache/summaries');
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return;
    throw error;
  }
  const remotes = new Set(names.length === 0 ? [] : repo.remotes());
  for (const name of names) {
    if (!remotes.has(name.replace(/\.sig$/, ''))) rmSync(join(folder, name), { recursive: true, force: true });
  }
}

/**
 * Deletes one commit that no ref points to, leaving a tombstone (which turns `[core] tombstone-commits` on). Its objects
 * go with the next prune. Throws `exists` when a ref points to it, `not-found` when it is not there.
 */
export async function deleteCommit(repo: Repo, commit: Checksum, options: BeginOptions = {}): Promise<void> {
  using _lock = await repo.lock('exclusive', options);
  for (const [refspec, checksum] of repo.listRefs()) {
    if (checksum === commit) throw new AtomicError('exists', `Commit '${commit}' is referenced by '${refspec}'`);
  }
  for (const { collectionId, ref, checksum } of listCollectionRefs(repo, { remotes: false })) {
    if (checksum !== commit) continue;
    throw new AtomicError('exists', `Commit '${commit}' is referenced by (${collectionId}, ${ref})`);
  }
  enableTombstones(repo);
  deleteObject(repo, 'commit', commit);
}
