import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import {
  AtomicError,
  type BeginOptions,
  type Checksum,
  type Progress,
  type PruneResult,
  prune,
  type Repo,
  type SignRequest,
} from '@atomic/ostree';
import { dropOldDeltas } from './deltas.ts';
import { type Graph, lockGraph, readGraph, writeGraph } from './graph.ts';
import { historyOf, type PastRelease } from './history.ts';
import { publish } from './publish.ts';

/** What of a ref stays; what either asks for does. */
export interface Retention {
  /** so many of its newest releases */
  keepLast?: number | undefined;
  /** those not older than so many seconds */
  keepYounger?: number | undefined;
}

export interface RetainOptions extends BeginOptions {
  /** for every ref; without either number all of a ref stays */
  retention: Retention;
  /** numbers of single refs, each instead of that for every ref */
  refs?: ReadonlyMap<string, Retention> | undefined;
  /** Unix seconds; default: the clock's */
  now?: number | undefined;
  dryRun?: boolean | undefined;
  /** signatures of the summary */
  sign?: SignRequest | undefined;
  progress?: Progress | undefined;
}

export interface RetainResult extends PruneResult {
  /** releases that stay, by ref */
  kept: Record<string, number>;
  /** releases that go, by ref */
  dropped: Record<string, number>;
  /** static deltas nobody needs any more */
  deltas: number;
}

/** Which releases stay, of those newest first. The newest does, and so do barriers: hosts far behind need them. */
export function select(history: readonly PastRelease[], retention: Retention, now: number): PastRelease[] {
  const { keepLast, keepYounger } = retention;
  return history.filter(
    ({ released, barrier }, index) =>
      index === 0 ||
      barrier ||
      (keepLast !== undefined && index < keepLast) ||
      (keepYounger !== undefined && released >= now - keepYounger),
  );
}

/**
 * Deletes old releases of refs, the deltas nobody needs and all that belonged to them alone. The graph loses them first,
 * so that it never names a commit that is gone, then the summary is made anew, and only then objects go. The summary is
 * made anew even when nothing goes, since a run that was cut off may have written the graph, but for a signed one that
 * would lose its signature. Throws `not-found` for a ref that is not there.
 */
export async function retain(repo: Repo, options: RetainOptions): Promise<RetainResult> {
  const now = options.now ?? Math.floor(Date.now() / 1000);
  using _lock = await lockGraph(repo, options);
  const graph = readGraph(repo);
  const keep = new Set<Checksum>();
  const kept: Record<string, number> = {};
  const dropped: Record<string, number> = {};
  const refs = repo.listRefs();
  for (const ref of options.refs?.keys() ?? [])
    if (!refs.has(ref))
      throw new AtomicError('not-found', `there is no ref ${ref} in ${repo.path}`, {
        hint: `refs there: ${[...refs.keys()].join(', ') || 'none'}`,
      });
  // A stream without its ref is nobody's.
  const streams: Graph['streams'] = Object.fromEntries(Object.entries(graph.streams).filter(([ref]) => refs.has(ref)));
  const whole = new Map<string, number>();
  for (const ref of refs.keys()) {
    const { keepLast, keepYounger } = { ...options.retention, ...options.refs?.get(ref) };
    if (keepLast === undefined && keepYounger === undefined) {
      // Nothing was asked of it: all of its history stays, as far as it is here.
      whole.set(ref, -1);
      for (const { commit } of streams[ref] ?? []) keep.add(commit);
      continue;
    }
    const history = historyOf(repo, graph, ref);
    const selected = select(history, { keepLast, keepYounger }, now);
    const commits = new Set(selected.map(({ commit }) => commit));
    for (const commit of commits) keep.add(commit);
    const stream = streams[ref];
    if (stream !== undefined) streams[ref] = stream.filter(({ commit }) => commits.has(commit));
    kept[ref] = selected.length;
    dropped[ref] = history.length - selected.length;
  }
  const { signal, wait, onWait, progress, dryRun } = options;
  const changed = !isDeepStrictEqual(streams, graph.streams);
  if (!dryRun && changed) writeGraph(repo, { ...graph, streams });
  const deltas = dryRun ? 0 : dropOldDeltas(repo);
  const goes = changed || deltas > 0 || Object.values(dropped).some((count) => count > 0);
  const keepsSignature = options.sign !== undefined || !existsSync(join(repo.path, 'summary.sig'));
  if (!dryRun && (goes || keepsSignature)) await publish(repo, { sign: options.sign, signal, wait, onWait });
  const pruned = await prune(repo, {
    refsOnly: true,
    depth: 0,
    keep,
    retainDepths: whole,
    dryRun,
    signal,
    wait,
    onWait,
    progress,
  });
  return { ...pruned, kept, dropped, deltas };
}
