import { AtomicError } from '../error.ts';
import { validateRefName } from '../repo/ref-name.ts';
import type { Repo } from '../repo/repo.ts';
import { remoteVerifier, type VerifierOptions } from '../sign/remote-verifier.ts';
import type { TrustOptions } from '../sign/trust.ts';
import { abortError } from './abort.ts';
import { openEndpoint, openFetcher } from './connect.ts';
import { checkPullable, type RemoteSettings, remoteSettings } from './remote-settings.ts';
import { parseRequested, type Requested } from './requested.ts';
import type { PullResult } from './result.ts';
import { type CommonPullOptions, type PullJob, runPull } from './run-pull.ts';

/** A ref of a collection to pull, wherever the remote has it. */
export interface CollectionRefRequest {
  collectionId: string;
  ref: string;
  /** Instead of the latest. */
  commit?: string | undefined;
  /** The remote here whose GPG keys count for it. */
  keyringRemote?: string | undefined;
}

export interface PullOptions extends CommonPullOptions {
  remote: string;
  /** Branches, checksums, or BRANCH@CHECKSUM; none: the branches the remote's configuration names. */
  refs: string[];
  /** Instead of `refs`. */
  collectionRefs?: readonly CollectionRefRequest[] | undefined;
  /** Write the refs as a mirror has them instead of as the remote's; without refs: all there are, and the summary. */
  mirror?: boolean | undefined;
  /** Find out what static deltas would bring, and bring nothing; needs `requireStaticDeltas`. */
  dryRun?: boolean | undefined;
  /** Take objects on trust when mirroring into an archive. */
  httpTrusted?: boolean | undefined;
  /** What signatures are checked with. */
  trust?: TrustOptions | undefined;
  /** In place of what the remote's configuration says. */
  gpgVerify?: boolean | undefined;
  gpgVerifySummary?: boolean | undefined;
  signVerify?: false | undefined;
  signVerifySummary?: false | undefined;
  /** Told of each commit whose signatures passed; `details`: with the owners of GPG keys. */
  onVerified?: VerifierOptions['onVerified'];
  details?: boolean | undefined;
}

function requestedOf(options: PullOptions, settings: RemoteSettings): Requested {
  const { refs, collectionRefs, mirror } = options;
  if (collectionRefs !== undefined) {
    return {
      refs: collectionRefs.map(({ collectionId, ref, commit }) => ({
        name: ref,
        collectionId,
        ref: validateRefName(ref),
        commit: commit ?? null,
      })),
      commits: [],
      all: false,
    };
  }
  if (refs.length > 0) return parseRequested(refs);
  if (settings.branches.length > 0) return parseRequested(settings.branches);
  if (mirror === true) return { refs: [], commits: [], all: true };
  throw new AtomicError('usage', `No configured branches for remote ${settings.name}`, {
    hint: `name a branch, or set branches= in [remote "${settings.name}"]`,
  });
}

/** Combinations that make no sense. */
export function checkPullOptions(options: CommonPullOptions & { dryRun?: boolean | undefined }): void {
  const refuse = (message: string) => new AtomicError('usage', message);
  if (options.dryRun === true && options.requireStaticDeltas !== true) {
    throw refuse('--dry-run requires --require-static-deltas');
  }
  if (options.disableStaticDeltas === true && options.requireStaticDeltas === true) {
    throw refuse('static deltas cannot be both required and disabled');
  }
  if (options.timestampCheck === true && (options.depth ?? 0) !== 0) {
    throw refuse('timestamps cannot be checked while history is pulled too (--timestamp-check with --depth)');
  }
  if (options.depth !== undefined && options.depth < -1) throw refuse(`${options.depth} is no depth: -1 means all`);
}

/** Runs `act`, telling the caller's interruption from any other failure. */
export async function interruptible<T>(signal: AbortSignal | undefined, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (signal?.aborted) throw abortError(signal);
    throw error;
  }
}

/**
 * Fetches branches or commits from a configured remote, over HTTP(S) (archive repositories) or from a file: URL.
 * Every object is verified before it can be seen, signatures of commits before their trees are fetched; refs move
 * last; interrupted, it changes nothing visible and the next run continues. Throws `not-found` (remote, branch,
 * object), `network`, `corrupt` (naming the object), `invalid` (signatures, a commit of another branch, an older one),
 * `unsupported`, `aborted`, `no-space`.
 */
export async function pull(repo: Repo, options: PullOptions): Promise<PullResult> {
  const { remote } = options;
  checkPullOptions(options);
  const settings = remoteSettings(repo, remote);
  checkPullable(repo, remote);
  const verifier = remoteVerifier(repo, remote, options);
  const signal = options.signal ?? new AbortController().signal;
  const keyed = (options.collectionRefs ?? []).flatMap(({ collectionId, ref, keyringRemote }) =>
    keyringRemote === undefined ? [] : [[`${collectionId}\n${ref}`, keyringRemote] as const],
  );
  return await interruptible(options.signal, async () => {
    using fetcher = await openFetcher(repo, settings, options);
    const endpoint = await openEndpoint(fetcher, settings, options);
    const job: PullJob = {
      remote,
      cacheName: remote,
      requested: requestedOf(options, settings),
      mirror: options.mirror === true,
      collectionId: settings.collectionId,
      verifier,
      keyrings: new Map(keyed),
      dryRun: options.dryRun,
      httpTrusted: options.httpTrusted,
      signal,
    };
    return await runPull(repo, fetcher, endpoint, job, options);
  });
}
