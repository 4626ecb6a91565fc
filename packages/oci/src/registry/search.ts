import { AtomicError, corrupt } from '@atomic/ostree';
import { z } from 'zod';
import { Exchange, type RegistryOptions } from './exchange.ts';
import { parseJson, small } from './http.ts';

/** One repository that a search found. */
export interface FoundImage {
  registry: string;
  /** Whole name: `registry.example/group/app`. */
  name: string;
  description: string;
  stars: number;
  official: boolean;
}

export interface SearchOptions {
  /** The most results to take. */
  limit: number;
  signal?: AbortSignal | undefined;
}

const MAX_ANSWER = 8 << 20;
const MAX_PAGES = 100;

// The search of the first version of Docker's API, which the hub and Quay still answer.
const indexed = z.object({
  results: z.array(
    z.object({
      name: z.string(),
      description: z.string().nullish(),
      star_count: z.number().nullish(),
      is_official: z.boolean().nullish(),
    }),
  ),
});
const catalog = z.object({ repositories: z.array(z.string()).nullish() });

/** JSON of a registry at a path, and the Link header; undefined where there is no such thing. */
async function get(
  exchange: Exchange,
  path: string,
  scope: string,
  signal?: AbortSignal,
): Promise<{ value: unknown; link: string } | undefined> {
  const answer = await exchange.ask({ method: 'GET', path, access: { scope }, signal });
  if (answer.status !== 200 || !/json/.test(answer.header('content-type') ?? '')) {
    answer.discard();
    if (answer.status === 401 || answer.status === 403) {
      throw new AtomicError('permission', `${exchange.name} does not let you search`);
    }
    if (answer.status >= 500) throw new AtomicError('network', `${exchange.name}: HTTP ${answer.status}`);
    return undefined;
  }
  const value = parseJson(await small(answer, MAX_ANSWER, `the answer of ${exchange.name} to a search`));
  if (value === undefined) throw corrupt(`${exchange.name} answers a search with what is no JSON`);
  return { value, link: answer.header('link') ?? '' };
}

/**
 * Searches a registry: by its index where it has one, else through the list of all its repositories. Throws `network`,
 * `permission`, `unsupported` where it offers neither.
 */
export async function searchRegistry(
  registry: string,
  term: string,
  access: RegistryOptions,
  { limit, signal }: SearchOptions,
): Promise<FoundImage[]> {
  const host = registry === 'docker.io' ? 'index.docker.io' : registry;
  // Somebody waits, and there may be other registries.
  using exchange = new Exchange({ registry: host, repository: '' }, { ...access, retries: access.retries ?? 1 });
  const query = new URLSearchParams({ q: term, n: String(limit) });
  const answer = await get(exchange, `v1/search?${query}`, '', signal);
  const results = answer === undefined ? undefined : indexed.safeParse(answer.value);
  if (results?.success === true) {
    return results.data.results.slice(0, limit).map(({ name, description, star_count, is_official }) => ({
      registry,
      name: `${registry}/${registry === 'docker.io' && !name.includes('/') ? `library/${name}` : name}`,
      description: plain(description ?? ''),
      stars: star_count ?? 0,
      official: is_official ?? false,
    }));
  }
  return await searchCatalog(exchange, registry, term, { limit, signal });
}

async function searchCatalog(
  exchange: Exchange,
  registry: string,
  term: string,
  { limit, signal }: SearchOptions,
): Promise<FoundImage[]> {
  const found: FoundImage[] = [];
  let path: string | undefined = 'v2/_catalog?n=1000';
  for (let page = 0; path !== undefined && page < MAX_PAGES && found.length < limit; page++) {
    const answer: { value: unknown; link: string } | undefined = await get(
      exchange,
      path,
      'registry:catalog:*',
      signal,
    );
    const parsed = catalog.safeParse(answer?.value);
    if (answer === undefined || !parsed.success) {
      throw new AtomicError('unsupported', `${registry} cannot be searched: it has neither an index nor a list`);
    }
    for (const name of parsed.data.repositories ?? []) {
      if (name.includes(term.toLowerCase())) {
        found.push({ registry, name: `${registry}/${plain(name)}`, description: '', stars: 0, official: false });
      }
    }
    const next = /<([^>]+)>\s*;\s*rel="?next"?/.exec(answer.link)?.[1];
    const url: URL | null = next === undefined ? null : URL.parse(next, 'http://registry');
    path = url === null ? undefined : `${url.pathname.slice(1)}${url.search}`;
  }
  return found.slice(0, limit);
}

/** A stranger's words on one line, without what would steer a terminal. */
const plain = (text: string): string => text.replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ').trim();
