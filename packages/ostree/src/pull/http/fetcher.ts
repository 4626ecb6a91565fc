import { setTimeout as sleep } from 'node:timers/promises';
import { AtomicError } from '../../error.ts';
import { abortError } from '../abort.ts';
import type { Download } from '../download.ts';
import { basicAuthorization, openConnection, type TlsOptions } from './connect.ts';
import { PassingError } from './exchange.ts';
import { copyFileUrl, readFileUrl } from './file-url.ts';
import { type Fetched, type Handler, MemoryBody } from './memory-body.ts';
import { OriginPool, type Priority } from './origin-pool.ts';
import { type ProxySettings, proxyFor } from './proxy.ts';
import type { ResponseHead } from './response-parser.ts';
import { joinUrl, printableUrl } from './url.ts';

export type { Fetched } from './memory-body.ts';
export type { Priority } from './origin-pool.ts';

export interface FetcherOptions {
  signal?: AbortSignal | undefined;
  /** Connections to one server. */
  concurrency?: number | undefined;
  /** How often a request that failed in passing (network error, 5xx, 408, 429) is tried again. */
  retries?: number | undefined;
  /** First pause before trying again, in ms; it doubles each time. */
  retryDelay?: number | undefined;
  /** False: only what the server itself calls passing (408, 500) is tried again. */
  retryNetworkErrors?: boolean | undefined;
  /** A server that sends fewer bytes a second than this over `stallSeconds` counts as dead. */
  stallBytes?: number | undefined;
  stallSeconds?: number | undefined;
  maxRedirects?: number | undefined;
  proxy?: ProxySettings | undefined;
  headers?: Record<string, string> | undefined;
  userAgent?: string | undefined;
  tls?: TlsOptions | undefined;
  http2?: boolean | undefined;
  /** The Cookie header for a URL. */
  cookies?: ((url: URL) => string | undefined) | undefined;
}

export interface FetchStats {
  requests: number;
  /** Body bytes received, repeated ones included. */
  bytes: number;
  connections: number;
  retries: number;
  /** Bytes that a Range request saved. */
  resumedBytes: number;
}

export interface GetOptions {
  /** The most bytes the resource may have. */
  limit: number;
  priority?: Priority | undefined;
  /** Let the server compress on the way: worth it for what is large and plain. */
  gzip?: boolean | undefined;
  etag?: string | undefined;
  /** Unix time in seconds. */
  modifiedSince?: number | undefined;
}

const maxRetryAfterMs = 30_000;
const maxPauseMs = 8_000;
const connectTimeoutMs = 60_000;

const statusText = (url: URL, status: number): string => {
  const names: Record<number, string> = { 408: ' Request Timeout', 500: ' Internal Server Error' };
  return `While fetching ${printableUrl(url)}: Server returned HTTP ${status}${names[status] ?? ''}`;
};

/**
 * HTTP client for repositories: kept-open connections, requests ahead of answers, mirrors one after another, retries
 * with back-off, and bodies that continue where they broke off. What a server says is checked by the caller; here only
 * its manners are: size, speed, redirects.
 */
export class Fetcher implements Disposable {
  readonly stats: FetchStats = { requests: 0, bytes: 0, connections: 0, retries: 0, resumedBytes: 0 };
  readonly #options: FetcherOptions;
  readonly #closing = new AbortController();
  /** Aborted by the caller, or by being closed. */
  readonly #signal: AbortSignal;
  readonly #pools = new Map<string, OriginPool>();
  readonly #concurrency: number;
  readonly #stallMs: number;
  readonly #onAbort = () => this.#close();
  #watch: NodeJS.Timeout | null = null;

  constructor(options: FetcherOptions = {}) {
    this.#options = options;
    this.#signal =
      options.signal === undefined ? this.#closing.signal : AbortSignal.any([options.signal, this.#closing.signal]);
    this.#concurrency = Math.max(1, options.concurrency ?? 8);
    this.#stallMs = (options.stallSeconds ?? 30) * 1000;
    this.#signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  /**
   * Fetches a small resource into memory from the first of `bases` that has it. Returns null when the last says there
   * is none (404, 403, 410). Throws AtomicError 'network' (with the URL and why), or 'corrupt' when it is longer than
   * `limit` bytes.
   */
  async get(bases: readonly URL[], segments: readonly string[], options: GetOptions): Promise<Fetched | null> {
    return await this.#mirrored(bases, segments, options.priority ?? 'metadata', (url) => {
      if (url.protocol === 'file:') {
        return async () => {
          const file = await readFileUrl(url, options.limit);
          // As stock counts: only deltas of a repository on this machine come through its fetcher.
          if (segments[0] === 'deltas') this.stats.bytes += file?.bytes.length ?? 0;
          return file;
        };
      }
      const body = new MemoryBody(url, options.limit);
      return (attempt) => this.#get(body, options, attempt);
    });
  }

  async #get(body: MemoryBody, options: GetOptions, attempt: Attempt): Promise<Fetched | null> {
    const headers = body.headers();
    if (options.etag !== undefined) headers['If-None-Match'] = options.etag;
    // An ETag says more than a date, and a server that knows both need not be asked twice.
    else if (options.modifiedSince !== undefined && options.modifiedSince > 0) {
      headers['If-Modified-Since'] = new Date(options.modifiedSince * 1000).toUTCString();
    }
    if (options.gzip === true) headers['Accept-Encoding'] = 'gzip';
    const found = await attempt(headers, body);
    return found ? body.fetched() : null;
  }

  /**
   * Fetches an object into `download` from the first of `bases` that has it, continuing what it already holds when the
   * server can, and returns whether there is one. `limit(head)` says how long the body may be, once its first 16 bytes
   * are known.
   */
  async download(
    bases: readonly URL[],
    segments: readonly string[],
    download: Download,
    options: { priority?: Priority | undefined; limit?: ((head: Buffer) => number) | undefined } = {},
  ): Promise<boolean> {
    const found = await this.#mirrored(bases, segments, options.priority ?? 'content', (url) => async (attempt) => {
      let limit: number | undefined;
      const check = () => {
        if (limit === undefined && download.head.length === 16) limit = options.limit?.(download.head);
        if (limit === undefined || download.size <= limit) return;
        download.reset();
        throw new AtomicError('corrupt', `${printableUrl(url)} is longer than its own header allows`);
      };
      if (url.protocol === 'file:') {
        download.reset();
        return await copyFileUrl(url, (chunk) => {
          this.stats.bytes += chunk.length;
          download.write(chunk);
          check();
        });
      }
      const headers: Record<string, string> = {};
      if (download.size > 0) {
        headers['Range'] = `bytes=${download.size}-`;
        if (download.validator !== undefined) headers['If-Range'] = download.validator;
      }
      const done = await attempt(headers, {
        head: (head) => {
          if (head.status === 206) {
            const start = /^bytes (\d+)-/.exec(head.headers.get('content-range') ?? '')?.[1];
            if (download.size === 0 || Number(start) !== download.size) {
              download.reset();
              throw new PassingError('the server answered with another range than asked for', { unheard: true });
            }
            this.stats.resumedBytes += download.size;
            download.spliced = true;
          } else {
            if (download.size > 0) download.reset();
            const etag = head.headers.get('etag');
            download.begin(
              etag?.startsWith('"') ? etag : head.headers.get('last-modified'),
              Number(head.headers.get('content-length') ?? Number.NaN),
            );
          }
        },
        rangeRefused: () => download.reset(),
        data: (chunk) => {
          download.write(chunk);
          check();
        },
      });
      return done ? true : null;
    });
    return found === true;
  }

  /** Asks one mirror after the other; the last one's word counts. */
  async #mirrored<T>(
    bases: readonly URL[],
    segments: readonly string[],
    priority: Priority,
    prepare: (url: URL) => (attempt: Attempt) => Promise<T | null>,
  ): Promise<T | null> {
    for (const [index, base] of bases.entries()) {
      const url = segments.length === 0 ? base : joinUrl(base, segments);
      const last = index === bases.length - 1;
      const ask = prepare(url);
      try {
        const found = await this.#retrying(url, last, () =>
          ask((headers, handler) => this.#exchange(url, headers, handler, priority)),
        );
        if (found !== null || last) return found;
      } catch (error) {
        this.#checkAborted();
        if (last || (error instanceof AtomicError && error.code !== 'network')) throw error;
      }
    }
    return null;
  }

  /** Runs one exchange again and again while it fails in passing. */
  async #retrying<T>(url: URL, last: boolean, exchange: () => Promise<T>): Promise<T> {
    // Where there is another mirror, asking it is better than waiting for this one.
    const retries = last ? (this.#options.retries ?? 5) : 0;
    let unheard = 0;
    for (let failures = 0; ; ) {
      this.#checkAborted();
      let failure: PassingError;
      try {
        return await exchange();
      } catch (error) {
        this.#checkAborted();
        if (!(error instanceof PassingError)) throw this.#explain(error, url);
        failure = error;
      }
      if (failure.unheard && unheard++ < 4 * this.#concurrency) {
        this.stats.retries++;
        continue;
      }
      if (failures >= retries || (failure.network && this.#options.retryNetworkErrors === false)) {
        const text = failure.message.startsWith('While fetching')
          ? failure.message
          : `While fetching ${printableUrl(url)}: ${failure.message}`;
        throw new AtomicError('network', text, {
          hint: `tried ${failures + 1} times; check the network and the server, then run again: what was fetched is kept`,
          cause: failure,
        });
      }
      failures++;
      this.stats.retries++;
      const pause = Math.min((this.#options.retryDelay ?? 100) * 2 ** (failures - 1), maxPauseMs);
      const wait = Math.max(failure.waitMs, pause * (0.75 + Math.random() / 2));
      await sleep(wait, undefined, { signal: this.#signal }).catch(() => {});
    }
  }

  #explain(error: unknown, url: URL): unknown {
    if (error instanceof AtomicError) {
      return error.message.startsWith('[') || error.message.startsWith('the ')
        ? new AtomicError(error.code, `While fetching ${printableUrl(url)}: ${error.message}`, { cause: error })
        : error;
    }
    const reason = error instanceof Error ? error.message : String(error);
    return new AtomicError('network', `While fetching ${printableUrl(url)}: ${reason}`, { cause: error });
  }

  #checkAborted(): void {
    if (this.#signal.aborted) throw abortError(this.#signal);
  }

  /** One request, redirects followed. Resolves to false when the resource does not exist. */
  async #exchange(start: URL, headers: Record<string, string>, handler: Handler, priority: Priority): Promise<boolean> {
    const maxRedirects = this.#options.maxRedirects ?? 10;
    let url = start;
    for (let hops = 0; ; hops++) {
      const answer = await this.#request(url, start, headers, handler, priority);
      if (typeof answer === 'boolean') return answer;
      if (hops >= maxRedirects) {
        throw new AtomicError('network', `the server redirects more than ${maxRedirects} times`, {
          hint: 'it may be redirecting in a loop',
        });
      }
      url = redirected(url, answer.location);
    }
  }

  #request(
    url: URL,
    start: URL,
    headers: Record<string, string>,
    handler: Handler,
    priority: Priority,
  ): Promise<boolean | { location: string }> {
    return new Promise((resolve, reject) => {
      let result: boolean | { location: string } | Error = true;
      this.stats.requests++;
      this.#pool(url).request(
        {
          url,
          headers: this.#headers(url, start, headers),
          head: (head) => {
            const { status } = head;
            const location = head.headers.get('location');
            if (status === 200 || status === 206 || status === 304) handler.head(head);
            else if (status === 404 || status === 403 || status === 410) result = false;
            else if ([301, 302, 303, 307, 308].includes(status) && location !== undefined) result = { location };
            else if (status === 416 && handler.rangeRefused !== undefined) {
              handler.rangeRefused();
              result = new PassingError('the server refuses the range', { unheard: true });
            } else result = statusError(url, head);
          },
          data: (chunk) => {
            if (result !== true) return;
            this.stats.bytes += chunk.length;
            handler.data(chunk);
          },
          end: () => (result instanceof Error ? reject(result) : resolve(result)),
          // An error page that breaks off is still the answer.
          error: (error) =>
            result instanceof Error ? reject(result) : result === true ? reject(error) : resolve(result),
        },
        priority,
      );
    });
  }

  #headers(url: URL, start: URL, headers: Record<string, string>): Record<string, string> {
    const { cookies } = this.#options;
    const cookie = cookies?.(url);
    // Headers the user gave may be credentials: they go to the host they were given for, not where it points.
    const same = url.origin === start.origin;
    const authorization = basicAuthorization(same ? start : url);
    const proxy = url.protocol === 'http:' ? this.#proxy(url) : null;
    const proxyAuthorization = proxy === null ? undefined : basicAuthorization(proxy);
    return {
      'User-Agent': this.#options.userAgent ?? 'atomic',
      Accept: '*/*',
      ...(authorization === undefined ? {} : { Authorization: authorization }),
      ...(proxyAuthorization === undefined ? {} : { 'Proxy-Authorization': proxyAuthorization }),
      ...(cookie === undefined ? {} : { Cookie: cookie }),
      ...(same ? this.#options.headers : undefined),
      ...headers,
    };
  }

  #proxy(url: URL): URL | null {
    try {
      return proxyFor(url, this.#options.proxy ?? {});
    } catch (error) {
      throw new AtomicError('invalid', error instanceof Error ? error.message : String(error));
    }
  }

  #pool(url: URL): OriginPool {
    let pool = this.#pools.get(url.origin);
    if (pool === undefined) {
      const options = {
        tls: this.#options.tls ?? {},
        http2: this.#options.http2 !== false,
        proxy: this.#proxy(url),
        timeoutMs: Math.min(this.#stallMs, connectTimeoutMs),
        signal: this.#signal,
      };
      pool = new OriginPool({
        limit: this.#concurrency,
        alone: url.protocol === 'https:' && options.http2,
        open: async (ready) => {
          const connection = await openConnection(url, options, ready);
          this.stats.connections++;
          return connection;
        },
      });
      this.#pools.set(url.origin, pool);
      this.#startWatch();
    }
    return pool;
  }

  /** Ends connections that bring next to nothing while something is asked of them. */
  #startWatch(): void {
    if (this.#watch !== null) return;
    const seen = new WeakMap<object, { since: number; bytes: number }>();
    const floor = ((this.#options.stallBytes ?? 1000) * this.#stallMs) / 1000;
    this.#watch = setInterval(
      () => {
        const now = performance.now();
        for (const pool of this.#pools.values()) {
          for (const connection of [...pool.connections()]) {
            const window = seen.get(connection);
            if (window === undefined || connection.load === 0) {
              seen.set(connection, { since: now, bytes: connection.received });
            } else if (now - window.since >= this.#stallMs) {
              if (connection.received - window.bytes < floor) {
                connection.destroy(new PassingError('[28] Timeout was reached', { network: true }));
              }
              seen.set(connection, { since: now, bytes: connection.received });
            }
          }
        }
      },
      Math.max(20, this.#stallMs / 8),
    );
    this.#watch.unref();
  }

  #close(): void {
    if (this.#watch !== null) clearInterval(this.#watch);
    this.#watch = null;
    for (const pool of this.#pools.values()) pool.close(abortError(this.#signal));
  }

  /** Closes every connection. */
  [Symbol.dispose](): void {
    this.#closing.abort(new AtomicError('failed', 'the connection was closed after another failure'));
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#close();
  }
}

type Attempt = (headers: Record<string, string>, handler: Handler) => Promise<boolean>;

function redirected(from: URL, location: string): URL {
  const to = URL.parse(location, from.href);
  const refuse = (why: string) => new AtomicError('network', `the server redirects ${why}`);
  if (to === null) throw refuse('to something that is no URL');
  if (to.protocol !== 'https:' && to.protocol !== 'http:') throw refuse(`to a ${to.protocol} URL`);
  if (from.protocol === 'https:' && to.protocol !== 'https:') throw refuse('from https to plain http');
  return to;
}

function statusError(url: URL, head: ResponseHead): Error {
  const { status } = head;
  const text = statusText(url, status);
  // A client's own fault is not mended by asking again.
  if (status < 500 && status !== 408 && status !== 429) return new AtomicError('network', text);
  const seconds = Number(head.headers.get('retry-after') ?? 0);
  return new PassingError(text, {
    waitMs: Number.isFinite(seconds) ? Math.min(Math.max(0, seconds) * 1000, maxRetryAfterMs) : 0,
    // With --disable-retry-on-network-errors the server's own words still count.
    network: status !== 408 && status !== 500,
  });
}
