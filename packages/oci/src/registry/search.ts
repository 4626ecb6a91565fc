import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';
import { Authorizer } from './authorization.ts';
import { isLoopback, type RegistryOptions } from './exchange.ts';
import { Http, type HttpAnswer, NoTlsError } from './http.ts';

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

/** A registry as a whole. */
class SearchClient implements Disposable {
  readonly #host: string;
  readonly #http: Http;
  readonly #authorizer: Authorizer;
  readonly #insecure: boolean;
  #protocol: 'https:' | 'http:' = 'https:';

  constructor(host: string, options: RegistryOptions) {
    this.#host = host;
    this.#http = new Http(options);
    this.#insecure = options.insecure === true || isLoopback(host);
    this.#authorizer = new Authorizer(this.#http, async () => await options.credentials?.(host));
  }

  /** JSON at a path, and the Link header; undefined where there is no such thing. */
  async get(path: string, scope: string, signal?: AbortSignal): Promise<{ value: unknown; link: string } | undefined> {
    const answer = await this.#ask(path, scope, signal);
    if (answer.status !== 200 || !/json/.test(answer.header('content-type') ?? '')) {
      answer.discard();
      if (answer.status === 401 || answer.status === 403) {
        throw new AtomicError('permission', `${this.#host} does not let you search`);
      }
      if (answer.status >= 500) throw new AtomicError('network', `${this.#host}: HTTP ${answer.status}`);
      return undefined;
    }
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of answer.body) {
      size += chunk.length;
      if (size > MAX_ANSWER) throw new AtomicError('corrupt', `${this.#host} does not stop answering`);
      chunks.push(chunk);
    }
    try {
      return { value: JSON.parse(Buffer.concat(chunks).toString('utf8')), link: answer.header('link') ?? '' };
    } catch (cause) {
      throw new AtomicError('corrupt', `${this.#host} answers a search with what is no JSON`, { cause });
    }
  }

  async #ask(path: string, scope: string, signal: AbortSignal | undefined): Promise<HttpAnswer> {
    for (let header = this.#authorizer.header(scope), tries = 0; ; tries++) {
      const url = new URL(`${this.#protocol}//${this.#host}${path}`);
      let answer: HttpAnswer;
      try {
        const headers = header === undefined ? {} : { Authorization: header };
        answer = await this.#http.send({ method: 'GET', url, headers, signal });
      } catch (error) {
        if (!(error instanceof NoTlsError) || !this.#insecure || this.#protocol === 'http:') throw error;
        this.#protocol = 'http:';
        continue;
      }
      if (answer.status !== 401 || tries > 1) return answer;
      answer.discard();
      header = await this.#authorizer.answer(answer, url, scope, header);
    }
  }

  [Symbol.dispose](): void {
    this.#http[Symbol.dispose]();
  }
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
  using client = new SearchClient(registry === 'docker.io' ? 'index.docker.io' : registry, access);
  const query = new URLSearchParams({ q: term, n: String(limit) });
  const answer = await client.get(`/v1/search?${query}`, '', signal);
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
  return await searchCatalog(client, registry, term, { limit, signal });
}

async function searchCatalog(
  client: SearchClient,
  registry: string,
  term: string,
  { limit, signal }: SearchOptions,
): Promise<FoundImage[]> {
  const found: FoundImage[] = [];
  let path: string | undefined = '/v2/_catalog?n=1000';
  for (let page = 0; path !== undefined && page < MAX_PAGES && found.length < limit; page++) {
    const answer: { value: unknown; link: string } | undefined = await client.get(path, 'registry:catalog:*', signal);
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
    path = url === null ? undefined : `${url.pathname}${url.search}`;
  }
  return found.slice(0, limit);
}

/** A stranger's words on one line, without what would steer a terminal. */
const plain = (text: string): string => text.replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ').trim();
