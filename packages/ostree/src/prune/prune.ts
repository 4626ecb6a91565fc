import { lstatSync, rmSync } from 'node:fs';
import type { Checksum } from '../objects/checksum.ts';
import { breather } from '../progress.ts';
import { addReachable, type ObjectSet, objectKey } from '../repo/reachable.ts';
import type { BeginOptions, Repo } from '../repo/repo.ts';

export interface PruneOptions extends BeginOptions {
  /** Keep only what refs (and `keep`) reach; otherwise every commit in the repository is kept with its objects. */
  refsOnly?: boolean | undefined;
  /** How many parents of a ref's commit to keep; -1 (the default) for all. */
  depth?: number | undefined;
  /** More commits to keep. */
  keep?: Iterable<Checksum> | undefined;
  /** Only count. */
  dryRun?: boolean | undefined;
}

export interface PruneResult {
  total: number;
  deleted: number;
  freedBytes: number;
}

/**
 * Deletes loose objects that no kept commit reaches, under the exclusive lock. Commits go first: a crash then leaves
 * objects without an owner (the next prune's work), never a commit without its objects.
 */
export async function prune(repo: Repo, options: PruneOptions = {}): Promise<PruneResult> {
  using _lock = await repo.lock('exclusive', options);
  const reachable: ObjectSet = new Set();
  const keep = (start: Checksum, depth: number) => {
    let next: Checksum | null = start;
    for (let left = depth; next !== null; left--) {
      const commit: Checksum = next;
      if (!repo.hasObject('commit', commit)) return;
      if (!reachable.has(objectKey('commit', commit))) addReachable(repo, commit, reachable, () => {});
      if (left === 0) return; // a negative depth never gets here: all the parents
      next = repo.loadCommit(commit).parent;
    }
  };
  for (const commit of repo.listRefs().values()) keep(commit, options.depth ?? -1);
  for (const commit of options.keep ?? []) keep(commit, 0);
  if (!options.refsOnly) for (const { type, checksum } of repo.listObjects()) if (type === 'commit') keep(checksum, 0);

  const pause = breather(options.signal);
  const result: PruneResult = { total: 0, deleted: 0, freedBytes: 0 };
  const doomed: { path: string; type: string; checksum: Checksum }[] = [];
  for (const { type, checksum, path } of repo.listObjects()) {
    // Detached metadata belongs to its commit: it goes with it and, as in stock's figures, is not counted.
    if (type !== 'commitmeta') result.total++;
    const owner = type === 'commitmeta' ? 'commit' : type;
    if (type !== 'tombstone-commit' && !reachable.has(objectKey(owner, checksum)))
      doomed.push({ path, type, checksum });
  }
  doomed.sort((a, b) => Number(b.type === 'commit') - Number(a.type === 'commit'));
  for (const { path, type, checksum } of doomed) {
    await pause();
    const stat = lstatSync(path, { throwIfNoEntry: false });
    result.freedBytes += stat === undefined || stat.nlink > 1 || type === 'commitmeta' ? 0 : stat.size;
    if (type !== 'commitmeta') result.deleted++;
    if (options.dryRun) continue;
    rmSync(path, { force: true });
    if (type === 'commit') rmSync(repo.partialPath(checksum), { force: true });
  }
  return result;
}
