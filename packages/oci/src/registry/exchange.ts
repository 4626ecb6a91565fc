import { setTimeout as sleep } from 'node:timers/promises';
import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';
import type { ImageName } from '../image-name.ts';
import { Authorizer } from './authorization.ts';
import type { CredentialsFinder } from './credentials.ts';
import {
  Http,
  type HttpAnswer,
  type HttpRequest,
  type HttpSettings,
  NoTlsError,
  PassingNetworkError,
  parseJson,
  small,
} from './http.ts';

export interface RegistryOptions extends HttpSettings {
  credentials?: CredentialsFinder | undefined;
  /** Attempts after the first at what failed in passing. */
  retries?: number | undefined;
  /** First pause between attempts (ms); it doubles each time. */
  retryDelay?: number | undefined;
  signal?: AbortSignal | undefined;
}

const MAX_REDIRECTS = 5;
const MAX_WAIT = 30_000;

const errors = z.object({
  errors: z.array(z.object({ code: z.string().optional(), message: z.string().optional() })).min(1),
});

export const isLoopback = (host: string): boolean => /^(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/i.test(host);

/** A request about the repository, or the registry as a whole. */
export interface Ask {
  method: string;
  path: string | URL;
  headers?: Record<string, string | number> | undefined;
  body?: (() => Uint8Array | AsyncIterable<Uint8Array>) | undefined;
  /** What it will do with the repository, or the scope of a token for something else. */
  access: 'pull' | 'pull,push' | 'delete' | { scope: string };
  /** Other repository to be read from, for a mount. */
  from?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** What is said to a registry about one of its repositories, or as a whole (''), until there is an answer that is one. */
export class Exchange implements Disposable {
  /** Such as `registry.example/group/app`. */
  readonly name: string;
  /** Attempts after the first. */
  readonly retries: number;
  readonly #host: string;
  readonly #repository: string;
  readonly #options: RegistryOptions;
  readonly #http: Http;
  readonly #authorizer: Authorizer;
  #protocol: 'https:' | 'http:' = 'https:';

  /** Throws `invalid` for a name without a registry. */
  constructor({ registry, repository }: Pick<ImageName, 'registry' | 'repository'>, options: RegistryOptions = {}) {
    if (registry === undefined)
      throw new AtomicError('invalid', `'${repository}' does not say in which registry it is`, {
        hint: `such as registry.example/${repository}`,
      });
    const hub = registry === 'docker.io';
    this.#host = hub ? 'registry-1.docker.io' : registry;
    this.#repository = hub && !repository.includes('/') ? `library/${repository}` : repository;
    this.name = repository === '' ? registry : `${registry}/${this.#repository}`;
    this.#options = options;
    this.retries = options.retries ?? 5;
    this.#http = new Http(options);
    this.#authorizer = new Authorizer(this.#http, async () => await options.credentials?.(this.name));
  }

  /** An address below the repository's own, or the registry's. */
  url(path: string | URL): URL {
    const base = this.#repository === '' ? '' : `v2/${this.#repository}/`;
    return path instanceof URL ? path : new URL(`${this.#protocol}//${this.#host}/${base}${path}`);
  }

  /** Where an upload goes on. Throws `network`. */
  location(answer: HttpAnswer): URL {
    const location = answer.header('location');
    const url = location === undefined ? null : URL.parse(location, this.url('').href);
    if (url === null) throw new AtomicError('network', `${this.name} does not say where to upload to`);
    return url;
  }

  #scope({ access, from }: Ask): string {
    if (typeof access === 'object') return access.scope;
    const own = `repository:${this.#repository}:${access}`;
    return from === undefined ? own : `${own} repository:${from}:pull`;
  }

  /** Asks until there is an answer that is one: authorised, redirects followed, attempts repeated that failed in passing. */
  async ask(ask: Ask): Promise<HttpAnswer> {
    const { retries } = this;
    const again = ['GET', 'HEAD', 'DELETE'].includes(ask.method);
    const signal = ask.signal ?? this.#options.signal;
    for (let failures = 0; ; failures++) {
      // Another request may have found out meanwhile that there is no TLS.
      const tried = this.#protocol;
      try {
        const answer = await this.#authorized(ask, signal);
        const passing = answer.status === 429 || answer.status === 408 || (answer.status >= 500 && again);
        if (!passing || failures >= retries) return answer;
        answer.discard();
        await this.pause(failures + 1, Number(answer.header('retry-after') ?? 0) * 1000, signal);
      } catch (error) {
        const insecure = this.#options.insecure === true || isLoopback(this.#host);
        const noTls = error instanceof NoTlsError || (error instanceof PassingNetworkError && this.#options.insecure);
        if (noTls && insecure && tried === 'https:' && !(ask.path instanceof URL)) {
          this.#protocol = 'http:';
          continue;
        }
        if (!(error instanceof PassingNetworkError) || !again || failures >= retries) throw error;
        await this.pause(failures + 1, 0, signal);
      }
    }
  }

  async #authorized(ask: Ask, signal: AbortSignal | undefined): Promise<HttpAnswer> {
    const scope = this.#scope(ask);
    let header = this.#authorizer.header(scope);
    for (let asked = 0; ; asked++) {
      const { answer, own } = await this.#follow(ask, this.url(ask.path), header, signal);
      if (!own || answer.status !== 401 || asked === 2) return answer;
      answer.discard();
      header = await this.#authorizer.answer(answer, this.url(''), scope, header);
    }
  }

  /** `own`: it is the registry that answers. */
  async #follow(
    ask: Ask,
    start: URL,
    authorization: string | undefined,
    signal?: AbortSignal,
  ): Promise<{ answer: HttpAnswer; own: boolean }> {
    let url = start;
    for (let hops = 0; ; hops++) {
      // Who one is, one says to the registry alone, never where it points, and whatever is asked there.
      const own = url.origin === this.url('').origin;
      const headers = {
        ...ask.headers,
        ...(own && authorization !== undefined ? { Authorization: authorization } : {}),
      };
      const request: HttpRequest = { method: ask.method, url, headers, body: ask.body?.(), signal };
      const answer = await this.#http.send(request);
      const location = answer.header('location');
      if (![301, 302, 303, 307, 308].includes(answer.status) || location === undefined) {
        return { answer, own };
      }
      answer.discard();
      const next = URL.parse(location, url.href);
      if (hops === MAX_REDIRECTS || next === null || !['https:', 'http:'].includes(next.protocol))
        throw new AtomicError('network', `${this.name} redirects to nowhere`);
      if (url.protocol === 'https:' && next.protocol === 'http:' && this.#options.insecure !== true)
        throw new AtomicError('network', `${this.name} redirects to a place without encryption, ${next.host}`);
      url = next;
    }
  }

  /** Waits before another attempt: twice as long each time, or as long as the registry asks for. */
  async pause(failures: number, wait: number, signal: AbortSignal | undefined): Promise<void> {
    const pause = (this.#options.retryDelay ?? 200) * 2 ** (failures - 1) * (0.75 + Math.random() / 2);
    const most = Math.min(Math.max(wait, pause), MAX_WAIT);
    await sleep(most, undefined, signal === undefined ? {} : { signal });
  }

  /** Throws what an answer that was not hoped for says. */
  async expect(answer: HttpAnswer, statuses: readonly number[], what: string): Promise<void> {
    const { status } = answer;
    if (statuses.includes(status)) return;
    const parsed = errors.safeParse(parseJson(await small(answer, 1 << 16, 'an error').catch(() => Buffer.alloc(0))));
    const said = parsed.success ? parsed.data.errors.map(({ code, message }) => message ?? code).join('; ') : '';
    const message = `${this.name}: ${what}: ${said === '' ? `HTTP ${status}` : said}`;
    if (status === 401 || status === 403)
      throw new AtomicError('permission', message, { hint: `log in with: skopeo login ${this.#host}` });
    throw new AtomicError(status === 404 ? 'not-found' : 'network', message);
  }

  [Symbol.dispose](): void {
    this.#http[Symbol.dispose]();
  }
}
