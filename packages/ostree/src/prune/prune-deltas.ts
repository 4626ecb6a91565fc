import { deleteDelta, listDeltas } from '../delta/names.ts';
import type { Checksum } from '../objects/checksum.ts';
import type { BeginOptions, Repo } from '../repo/repo.ts';

/** Deletes the static deltas to a commit; with null, those to commits that are not there. Takes the exclusive lock. */
export async function pruneDeltas(repo: Repo, commit: Checksum | null, options: BeginOptions = {}): Promise<void> {
  using _lock = await repo.lock('exclusive', options);
  pruneDeltasLocked(repo, commit);
}

/** {@link pruneDeltas} for who holds the lock already. */
export function pruneDeltasLocked(repo: Repo, commit: Checksum | null): void {
  for (const name of listDeltas(repo)) {
    if (commit === null ? !repo.hasObject('commit', name.to) : name.to === commit) deleteDelta(repo, name);
  }
}
