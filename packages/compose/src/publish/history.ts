import type { Checksum, Repo } from '@atomic/ostree';
import { commitsOf, type Graph } from './graph.ts';

/** A commit that hosts of a ref may run. */
export interface PastRelease {
  commit: Checksum;
  /** Unix seconds: when it came into its stream, or was made */
  released: number;
  barrier: boolean;
}

/** What a ref had, newest first: the releases of its stream, or without one its commits as far as they are here. */
export function historyOf(repo: Repo, graph: Graph, ref: string): PastRelease[] {
  const tip = repo.readRef(ref);
  if (tip === null) return [];
  const stream = graph.streams[ref];
  if (stream !== undefined && commitsOf(graph, ref).at(-1) === tip)
    return stream.map(({ commit, released, barrier = false }) => ({ commit, released, barrier })).reverse();
  const history: PastRelease[] = [];
  const seen = new Set<Checksum>();
  for (let at: Checksum | null = tip; at !== null && !seen.has(at) && repo.commitState(at) === 'complete'; ) {
    const { timestamp, parent, metadata } = repo.loadCommit(at);
    history.push({ commit: at, released: timestamp, barrier: metadata.get('atomic.barrier')?.value === true });
    seen.add(at);
    at = parent;
  }
  return history;
}
