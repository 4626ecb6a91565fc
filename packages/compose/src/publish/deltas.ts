import {
  type Checksum,
  deleteDelta,
  deltaName,
  generateDelta,
  hasDelta,
  listDeltas,
  type Progress,
  type Repo,
  reindexDeltas,
  type SignRequest,
} from '@atomic/ostree';
import { readGraph } from './graph.ts';
import { historyOf } from './history.ts';

export interface DeltaOptions {
  sign?: SignRequest | undefined;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

/**
 * Makes static deltas to `to` from the last `count` releases of a ref before it, where there are none yet.
 * GPG does not sign deltas, so only keys of other types count. Resolves to the names of those made.
 */
export async function makeDeltas(
  repo: Repo,
  ref: string,
  to: Checksum,
  count: number,
  options: DeltaOptions = {},
): Promise<string[]> {
  const { sign, signal, progress } = options;
  const before = historyOf(repo, readGraph(repo), ref)
    .map(({ commit }) => commit)
    .filter((commit) => commit !== to && repo.commitState(commit) === 'complete')
    .slice(0, count);
  const made: string[] = [];
  for (const from of before) {
    if (hasDelta(repo, { from, to })) continue;
    progress?.({ phase: 'deltas', message: `from ${from.slice(0, 10)} to ${to.slice(0, 10)}` });
    const secrets = sign?.secrets ?? [];
    await generateDelta(repo, { from, to, sign: secrets.length === 0 ? undefined : { ...sign, gpg: [] }, signal });
    made.push(deltaName({ from, to }));
  }
  return made;
}

/** Deletes deltas that end neither at a ref's newest commit nor at a barrier: nobody takes such an update any more. */
export function dropOldDeltas(repo: Repo): number {
  const graph = readGraph(repo);
  const wanted = new Set<Checksum>();
  for (const [ref, tip] of repo.listRefs()) {
    wanted.add(tip);
    for (const { commit, barrier } of historyOf(repo, graph, ref)) if (barrier) wanted.add(commit);
  }
  let dropped = 0;
  for (const name of listDeltas(repo)) {
    if (wanted.has(name.to)) continue;
    deleteDelta(repo, name);
    dropped++;
  }
  if (dropped > 0) reindexDeltas(repo);
  return dropped;
}
