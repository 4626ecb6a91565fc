import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { AtomicError } from '../error.ts';
import { cookieHeader } from '../remote/cookies.ts';
import { Repo } from '../repo/repo.ts';
import { type Endpoint, resolveEndpoint } from './endpoint.ts';
import type { Fetcher } from './http/fetcher.ts';
import type { RemoteSettings } from './remote-settings.ts';

/** How to speak with a server. */
export interface ConnectOptions {
  /** Instead of the URL in the remote's configuration. */
  url?: string | undefined;
  /** How often each request is tried again (5). */
  retries?: number | undefined;
  /** First pause before trying again, in ms (100); it doubles each time. */
  retryDelay?: number | undefined;
  /** False: network errors and unusual statuses fail at once. */
  retryNetworkErrors?: boolean | undefined;
  /** A server that sends fewer bytes a second than `stallBytes` (1000) over this long (30) is given up. */
  stallSeconds?: number | undefined;
  stallBytes?: number | undefined;
  /** Connections to one server (8). */
  concurrency?: number | undefined;
  /** Bodies above this many bytes are downloaded to a file that a later run can continue (512 KiB). */
  spillBytes?: number | undefined;
  headers?: Record<string, string> | undefined;
  userAgent?: string | undefined;
  /** The proxies of the environment, for remotes that name none. */
  proxies?: {
    http?: string | undefined;
    https?: string | undefined;
    all?: string | undefined;
    none?: string | undefined;
  };
  /** Folder for what is kept of remotes' summaries (the repository's `tmp/cache`); null for none. */
  cacheDir?: string | null | undefined;
  signal?: AbortSignal | undefined;
}

/** Requests under way for each connection: answers come back to back. */
const pipelined = 6;
const defaultConnections = 8;

/** Requests that keep a server busy. */
export const parallelRequests = (options: ConnectOptions): number =>
  pipelined * Math.max(1, options.concurrency ?? defaultConnections);

/** Makes the HTTP client for a remote; null settings mean a repository on this machine. */
export async function openFetcher(
  repo: Repo,
  settings: RemoteSettings | null,
  options: ConnectOptions,
): Promise<Fetcher> {
  // The HTTP client takes a while to load, and most commands of a store need none.
  const { Fetcher: Client } = await import('./http/fetcher.ts');
  const jar = settings !== null && existsSync(`${repo.path}/${settings.name}.cookies.txt`);
  return new Client({
    ...options,
    concurrency: options.concurrency ?? defaultConnections,
    proxy: { ...options.proxies, remote: settings?.proxy },
    tls: settings?.tls,
    http2: settings?.http2,
    cookies: jar ? (url) => cookieHeader(repo, settings.name, url) : undefined,
  });
}

/** Where the files of a remote are, given its settings and what the caller put in their place. */
export async function openEndpoint(
  fetcher: Fetcher,
  settings: RemoteSettings,
  options: ConnectOptions,
): Promise<Endpoint> {
  const overridden = options.url !== undefined && settings.metalink === undefined;
  return await resolveEndpoint(fetcher, {
    name: settings.name,
    url: overridden ? options.url : settings.url,
    metalink: settings.metalink,
    contentUrl: overridden ? undefined : settings.contentUrl,
  });
}

/** The repository on this machine that an endpoint is, or null. */
export function localRepository(endpoint: Endpoint): Repo | null {
  const [first] = endpoint.meta;
  if (first?.protocol !== 'file:') return null;
  try {
    return Repo.open(fileURLToPath(first));
  } catch (error) {
    if (!(error instanceof AtomicError)) throw error;
    throw new AtomicError(error.code, `opening repo: ${error.message}`, { hint: error.hint, cause: error });
  }
}
