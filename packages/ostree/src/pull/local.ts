import { pathToFileURL } from 'node:url';
import { AtomicError } from '../error.ts';
import { validateRemoteName } from '../repo/ref-name.ts';
import { Repo } from '../repo/repo.ts';
import { remoteVerifier } from '../sign/remote-verifier.ts';
import type { TrustOptions } from '../sign/trust.ts';
import { openFetcher } from './connect.ts';
import { checkPullOptions, interruptible } from './pull.ts';
import { parseRequested } from './requested.ts';
import type { PullResult } from './result.ts';
import { type CommonPullOptions, runPull } from './run-pull.ts';

export interface PullLocalOptions extends CommonPullOptions {
  /** Branches, checksums, or BRANCH@CHECKSUM; none: all branches there. */
  refs: string[];
  /** Write the refs as this remote's instead of as branches of this repository. */
  remote?: string | null | undefined;
  /** Check GPG signatures of commits, or of the summary, with the keys of `remote`. */
  gpgVerify?: boolean | undefined;
  gpgVerifySummary?: boolean | undefined;
  trust?: TrustOptions | undefined;
}

/**
 * Brings branches or commits over from another repository on this machine: objects are hard-linked when both have one
 * mode and file system, else copied. Only what is missing is visited. Throws as {@link pull} does.
 */
export async function pullLocal(repo: Repo, from: Repo | string, options: PullLocalOptions): Promise<PullResult> {
  checkPullOptions(options);
  const remote = options.remote === undefined || options.remote === null ? null : validateRemoteName(options.remote);
  const checked = options.gpgVerify === true || options.gpgVerifySummary === true;
  if (checked && remote === null) {
    throw new AtomicError('usage', 'Must specify remote name to enable gpg verification');
  }
  const source = typeof from === 'string' ? Repo.open(from) : from;
  const requested = parseRequested(options.refs.length > 0 ? options.refs : [...source.listRefs().keys()]);
  const verifier =
    !checked || remote === null
      ? null
      : remoteVerifier(repo, remote, {
          trust: options.trust,
          gpgVerify: options.gpgVerify === true,
          gpgVerifySummary: options.gpgVerifySummary === true,
          signVerify: false,
          signVerifySummary: false,
          signal: options.signal,
        });
  const url = pathToFileURL(source.path);
  const endpoint = { meta: [url], content: [url], summary: null };
  return await interruptible(options.signal, async () => {
    using fetcher = await openFetcher(repo, null, options);
    return await runPull(
      repo,
      fetcher,
      endpoint,
      {
        remote,
        cacheName: null,
        requested,
        mirror: false,
        collectionId: undefined,
        verifier,
        signal: options.signal ?? new AbortController().signal,
      },
      options,
    );
  });
}
