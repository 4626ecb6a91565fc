import type { Checksum } from '../objects/checksum.ts';
import type { Repo } from '../repo/repo.ts';
import { type RemoteVerifier, remoteVerifier } from '../sign/remote-verifier.ts';
import type { TrustOptions } from '../sign/trust.ts';
import { type ConnectOptions, localRepository, openEndpoint, openFetcher } from './connect.ts';
import type { Endpoint } from './endpoint.ts';
import type { Fetcher } from './http/fetcher.ts';
import { interruptible } from './pull.ts';
import { checkPullable, remoteSettings } from './remote-settings.ts';
import { RemoteSummary } from './remote-summary.ts';
import { parseRefContents } from './requested.ts';
import { type FetchedSummary, loadSummary } from './summary-fetch.ts';

export interface FetchSummaryOptions extends ConnectOptions {
  trust?: TrustOptions | undefined;
}

/** The summary of an endpoint, verified, by way of the cache. */
async function readSummary(
  repo: Repo,
  remote: string,
  from: { fetcher: Fetcher; endpoint: Endpoint; verifier: RemoteVerifier },
  options: FetchSummaryOptions,
): Promise<FetchedSummary> {
  const { SummaryCache } = await import('./summary-cache.ts');
  const folder = options.cacheDir === undefined ? `${repo.path}/tmp/cache` : options.cacheDir;
  const remoteHost = from.endpoint.meta[0]?.protocol !== 'file:';
  return await loadSummary(repo, from.fetcher, from.endpoint, {
    name: remote,
    cache: folder === null || !remoteHost ? null : new SummaryCache(folder, { sync: repo.fsync }),
    verify: async (bytes, signed) => {
      await from.verifier.verifySummary(bytes, signed);
    },
  });
}

/**
 * A remote's summary and its signatures, verified as its configuration asks, from the cache where the server says they
 * did not change; null for what the server does not have. Throws as {@link pull} does.
 */
export async function fetchSummary(
  repo: Repo,
  remote: string,
  options: FetchSummaryOptions = {},
): Promise<{ summary: Buffer | null; signatures: Buffer | null }> {
  const settings = remoteSettings(repo, remote);
  const verifier = remoteVerifier(repo, remote, options);
  return await interruptible(options.signal, async () => {
    using fetcher = await openFetcher(repo, settings, options);
    const endpoint = await openEndpoint(fetcher, settings, options);
    const { summary, signatures } = await readSummary(repo, remote, { fetcher, endpoint, verifier }, options);
    return { summary, signatures };
  });
}

/** What a remote says a branch is at; `checksum` is null where a pull must find out. */
export interface RemoteTip {
  checksum: Checksum | null;
  requests: number;
  bytes: number;
}

const maxRefBytes = 64 * 1024;

/**
 * Asks a remote which commit a branch is at, with as little traffic as that takes: one request for the ref's own file, or
 * the summary (conditionally) where it must be signed or a metalink leads to it. Nothing is written but that cache. Only
 * good to see that nothing is new: the commit itself is not verified. Throws as {@link pull} does.
 */
export async function remoteTip(
  repo: Repo,
  remote: string,
  ref: string,
  options: FetchSummaryOptions = {},
): Promise<RemoteTip> {
  const settings = remoteSettings(repo, remote);
  checkPullable(repo, remote);
  const verifier = remoteVerifier(repo, remote, options);
  return await interruptible(options.signal, async () => {
    using fetcher = await openFetcher(repo, settings, options);
    const endpoint = await openEndpoint(fetcher, settings, options);
    const answer = (checksum: Checksum | null): RemoteTip => {
      const { requests, bytes } = fetcher.stats;
      return { checksum, requests, bytes };
    };
    const local = localRepository(endpoint);
    if (local !== null) return answer(verifier.summary ? null : local.readRef(ref));
    if (verifier.summary || endpoint.summary !== null) {
      const { summary } = await readSummary(repo, remote, { fetcher, endpoint, verifier }, options);
      return answer(
        summary === null ? null : new RemoteSummary(summary).lookup({ collectionId: undefined, ref }).commit,
      );
    }
    const found = await fetcher.get(endpoint.meta, ['refs', 'heads', ...ref.split('/')], { limit: maxRefBytes });
    return answer(found === null ? null : parseRefContents(found.bytes, { collectionId: undefined, ref }));
  });
}
