import { AtomicError } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import { RemoteSummary } from '../pull/remote-summary.ts';
import { type FetchSummaryOptions, fetchSummary } from '../pull/remote-tip.ts';
import type { Repo } from '../repo/repo.ts';

/** The branches a remote offers and their commits, from its summary. Throws `not-found` when it has none. */
export async function remoteRefs(
  repo: Repo,
  name: string,
  options: FetchSummaryOptions = {},
): Promise<Map<string, Checksum>> {
  const { summary } = await fetchSummary(repo, name, options);
  if (summary === null) {
    throw new AtomicError('not-found', 'Remote refs not available; server has no summary file', {
      hint: 'on the server, run: ostree summary --update',
    });
  }
  const parsed = new RemoteSummary(summary);
  const own = parsed.refs().filter(({ collectionId }) => collectionId === parsed.collectionId);
  return new Map(own.map(({ ref, commit }) => [ref, commit]));
}
