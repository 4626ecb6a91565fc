import type { Checksum, Repo } from '@atomic/ostree';
import { BARRIER_KEY } from '@atomic/sysroot';
import type { Graph } from './graph.ts';

/** A commit that hosts of a ref may run. */
export interface PastRelease {
  commit: Checksum;
  /** Unix seconds: when it came into its stream, or was made */
  released: number;
  barrier: boolean;
}

/**
 * What a ref had, newest first: the releases of its stream. Where it was moved since, its commits as far as they are here,
 * and then the barriers of the stream that are not among them.
 */
export function historyOf(repo: Repo, graph: Graph, ref: string): PastRelease[] {
  const tip = repo.readRef(ref);
  if (tip === null) return [];
  const stream = (graph.streams[ref] ?? []).map(({ commit, released, barrier }) => ({
    commit,
    released,
    barrier: barrier === true || saysBarrier(repo, commit),
  }));
  if (stream.at(-1)?.commit === tip) return stream.reverse();
  const known = new Map(stream.map((one) => [one.commit, one]));
  const history = new Map<Checksum, PastRelease>();
  for (let at: Checksum | null = tip; at !== null && !history.has(at) && repo.commitState(at) === 'complete'; ) {
    const { timestamp, parent } = repo.loadCommit(at);
    history.set(at, known.get(at) ?? { commit: at, released: timestamp, barrier: saysBarrier(repo, at) });
    at = parent;
  }
  return [...history.values(), ...stream.filter(({ commit, barrier }) => barrier && !history.has(commit)).reverse()];
}

/** Whether a commit was made as a barrier: it is one in every stream. */
const saysBarrier = (repo: Repo, commit: Checksum): boolean =>
  repo.hasObject('commit', commit) && repo.loadCommit(commit).metadata.get(BARRIER_KEY)?.value === true;
