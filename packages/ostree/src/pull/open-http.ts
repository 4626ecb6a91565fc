import type { Fetcher, FetcherOptions } from './http/fetcher.ts';

/** The HTTP client, for what is fetched from elsewhere than a repository; it is loaded here because most need none. */
export async function openHttp(options: FetcherOptions = {}): Promise<Fetcher> {
  const { Fetcher: Client } = await import('./http/fetcher.ts');
  return new Client(options);
}
