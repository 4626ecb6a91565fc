import {
  AtomicError,
  asArray,
  asString,
  type BeginOptions,
  type Checksum,
  metadataString,
  type Progress,
  type Repo,
  type SignRequest,
} from '@atomic/ostree';
import { makeDeltas } from './deltas.ts';
import { checkRollout, lockGraph, type Release, readGraph, writeGraph } from './graph.ts';
import { historyOf } from './history.ts';
import { publish } from './publish.ts';

export interface PromoteOptions extends BeginOptions {
  /** ref or commit */
  from: string;
  /** ref of the stream it comes into */
  to: string;
  /** hosts must run it before they take anything newer */
  barrier?: boolean | undefined;
  /** how it is rolled out there, as `atomic.rollout` of a commit says it */
  rollout?: string | undefined;
  /** make static deltas from so many releases before */
  deltas?: number | undefined;
  /** also to a commit that is older than what the stream has, or in it already */
  back?: boolean | undefined;
  /** signatures of the summary and the deltas */
  sign?: SignRequest | undefined;
  /** Unix seconds; default: the clock's */
  now?: number | undefined;
  progress?: Progress | undefined;
}

export interface Promoted {
  ref: string;
  commit: Checksum;
  version: string | undefined;
  /** what the stream had before */
  before: Checksum | null;
  /** false: the stream has this very commit as its newest */
  changed: boolean;
  deltas: string[];
}

/** Checks that clients of a ref will take a commit: they compare the refs and the collection it was bound to when made. */
export function checkBinding(repo: Repo, commit: Checksum, ref: string): void {
  const { metadata } = repo.loadCommit(commit);
  const bound = metadata.get('ostree.ref-binding');
  const refs = bound === undefined ? null : asArray(bound.value).map(asString);
  if (refs !== null && !refs.includes(ref))
    throw new AtomicError(
      'invalid',
      `commit ${commit.slice(0, 10)} is bound to ${refs.join(', ') || 'no ref'}, not to ${ref}: clients would refuse it`,
      {
        hint: `name ${ref} in the treefile's 'bind-refs', and compose anew: the same commit cannot be bound later`,
      },
    );
  const collection = repo.config.get('core', 'collection-id');
  const its = metadataString(metadata, 'ostree.collection-binding');
  if (collection !== undefined && its !== undefined && its !== collection)
    throw new AtomicError(
      'invalid',
      `commit ${commit.slice(0, 10)} is bound to the collection ${its}, but this repository is ${collection}`,
    );
}

/**
 * Brings the very same commit from one stream into another. Deltas come first, then the graph, the ref, the summary: who
 * pulls in between sees the old release or the new one, and after a crash the same call finishes the work.
 */
export async function promote(repo: Repo, options: PromoteOptions): Promise<Promoted> {
  const { from, to, signal, wait, onWait, progress, sign } = options;
  const rollout = options.rollout === undefined ? undefined : checkRollout(options.rollout);
  using _lock = await lockGraph(repo, options);
  const commit = repo.resolveRev(from);
  if (repo.commitState(commit) !== 'complete')
    throw new AtomicError('not-found', `commit ${commit} is not whole in this repository`);
  checkBinding(repo, commit, to);
  const graph = readGraph(repo);
  const before = repo.readRef(to);
  // A ref that was no stream so far: what it had becomes its first releases.
  const releases: Release[] =
    graph.streams[to] ??
    historyOf(repo, graph, to)
      .reverse()
      .map((one) => ({
        commit: one.commit,
        version: versionOf(repo, one.commit),
        released: one.released,
        ...(one.barrier ? { barrier: true } : {}),
      }));
  const known = releases.findIndex((one) => one.commit === commit);
  const isLast = known >= 0 && known === releases.length - 1;
  // One that was set back from is newer than what is there now, wherever it stands in the stream.
  const isNext = before !== null && isNewer(repo, commit, before);
  if (!options.back && ((known >= 0 && !isLast && !isNext) || isNewer(repo, before, commit)))
    throw new AtomicError('invalid', `${to} has something newer than commit ${commit.slice(0, 10)}`, {
      hint: 'add --back to set it back; hosts that have the newer one stay with it',
    });
  const made =
    options.deltas === undefined ? [] : await makeDeltas(repo, to, commit, options.deltas, { sign, signal, progress });
  const one: Release = {
    ...releases[known],
    commit,
    version: versionOf(repo, commit),
    released: (isLast ? releases[known]?.released : undefined) ?? options.now ?? Math.floor(Date.now() / 1000),
    ...(options.barrier === undefined ? {} : { barrier: options.barrier }),
    ...(rollout === undefined ? {} : { rollout }),
  };
  const others = releases.filter((release) => release.commit !== commit);
  writeGraph(repo, { ...graph, streams: { ...graph.streams, [to]: [...others, one] } });
  if (before !== commit) repo.setRef(to, commit);
  await publish(repo, { sign, signal, wait, onWait });
  return { ref: to, commit, version: one.version, before, changed: before !== commit, deltas: made };
}

/** Whether a ref's tip is newer than a commit: by its time, or made from it where times are fixed. */
function isNewer(repo: Repo, tip: Checksum | null, commit: Checksum): boolean {
  if (tip === null || tip === commit || !repo.hasObject('commit', tip)) return false;
  const ahead = repo.loadCommit(tip).timestamp - repo.loadCommit(commit).timestamp;
  if (ahead !== 0) return ahead > 0;
  let at: Checksum | null = tip;
  while (at !== null && at !== commit && repo.hasObject('commit', at)) at = repo.loadCommit(at).parent;
  return at === commit;
}

const versionOf = (repo: Repo, commit: Checksum): string | undefined =>
  metadataString(repo.loadCommit(commit).metadata, 'version');
