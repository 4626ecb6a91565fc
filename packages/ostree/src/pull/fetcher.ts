import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { AtomicError } from '../error.ts';
import { abortError } from './abort.ts';
import type { Download } from './download.ts';

export interface TlsOptions {
  /** Accept any certificate (`tls-permissive`). */
  permissive?: boolean | undefined;
  ca?: Buffer | undefined;
  cert?: Buffer | undefined;
  key?: Buffer | undefined;
}

export interface FetcherOptions {
  signal?: AbortSignal | undefined;
  /** Requests in flight, and so connections to one host. */
  concurrency?: number | undefined;
  /** How often a request that failed in passing (network error, 5xx, 408, 429) is tried again. */
  retries?: number | undefined;
  /** First pause before trying again, in ms; it doubles each time. */
  retryDelay?: number | undefined;
  /** A response slower than 1000 bytes a second over this many seconds counts as dead. */
  stallSeconds?: number | undefined;
  maxRedirects?: number | undefined;
  /** Proxy URL for all requests. */
  proxy?: string | undefined;
  headers?: Record<string, string> | undefined;
  userAgent?: string | undefined;
  tls?: TlsOptions | undefined;
  /** Told of body bytes as they arrive. */
  onBytes?: ((count: number) => void) | undefined;
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

export type Priority = 'metadata' | 'content';

const lowSpeedBytesPerSecond = 1000;
const maxPauseMs = 8_000;
const maxRetryAfterMs = 30_000;
/** An error page above this is not read to its end: closing the connection is cheaper. */
const maxDrainBytes = 64 * 1024;

const passingErrors = new Set([
  'ECONNRESET',
  'ECONNREFUSED',
  'ECONNABORTED',
  'ETIMEDOUT',
  'EPIPE',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'EAI_AGAIN',
]);

/** A failure that another try may cure. */
class PassingError extends Error {
  readonly waitMs: number;
  /** The server closed an idle connection just as we used it: nobody's fault, tried again at once. */
  readonly idleClose: boolean;
  constructor(message: string, options: { waitMs?: number; idleClose?: boolean } = {}) {
    super(message);
    this.waitMs = options.waitMs ?? 0;
    this.idleClose = options.idleClose ?? false;
  }
}

/** URL for messages: credentials stay out of logs. */
export function printableUrl(url: URL): string {
  if (url.username === '' && url.password === '') return url.href;
  const copy = new URL(url);
  copy.username = '';
  copy.password = '';
  return copy.href;
}

/** Appends path segments to a repository's URL, each escaped so that it stays one segment. */
export function joinUrl(base: URL, segments: readonly string[]): URL {
  const url = new URL(base);
  const path = url.pathname.replace(/\/+$/, '');
  url.pathname = `${path}/${segments.map(encodeURIComponent).join('/')}`;
  url.hash = '';
  return url;
}

interface Active {
  request: ClientRequest;
  bytes: number;
  windowStart: number;
  windowBytes: number;
  stalled: boolean;
}

interface Waiting {
  resolve: () => void;
}

const errorCode = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';

/**
 * HTTP client for repositories: one keep-alive agent, a bounded number of requests in flight with metadata ahead of
 * content, retries with back-off, and bodies that continue where they broke off. Everything a server says is checked
 * by the caller; here only its manners are: size, speed, redirects.
 */
export class Fetcher implements Disposable {
  readonly stats: FetchStats = { requests: 0, bytes: 0, connections: 0, retries: 0, resumedBytes: 0 };
  readonly #options: FetcherOptions;
  readonly #closing = new AbortController();
  /** Aborted by the caller, or by being closed. */
  readonly #signal: AbortSignal;
  readonly #http: HttpAgent;
  readonly #https: HttpsAgent;
  readonly #concurrency: number;
  readonly #stallMs: number;
  readonly #active = new Set<Active>();
  readonly #sockets = new WeakSet<Socket>();
  readonly #waiting: Record<Priority, Waiting[]> = { metadata: [], content: [] };
  readonly #onAbort = () => this.#abortAll();
  #running = 0;
  #watch: NodeJS.Timeout | null = null;

  constructor(options: FetcherOptions = {}) {
    this.#options = options;
    this.#signal =
      options.signal === undefined ? this.#closing.signal : AbortSignal.any([options.signal, this.#closing.signal]);
    this.#concurrency = options.concurrency ?? 8;
    this.#stallMs = (options.stallSeconds ?? 30) * 1000;
    const agent = {
      keepAlive: true,
      maxSockets: this.#concurrency,
      maxFreeSockets: this.#concurrency,
      scheduling: 'lifo' as const,
      ...(options.proxy === undefined ? {} : { proxyEnv: { http_proxy: options.proxy, https_proxy: options.proxy } }),
    };
    const tls = options.tls ?? {};
    this.#http = new HttpAgent(agent);
    this.#https = new HttpsAgent({
      ...agent,
      rejectUnauthorized: tls.permissive !== true,
      ...(tls.ca === undefined ? {} : { ca: tls.ca }),
      ...(tls.cert === undefined ? {} : { cert: tls.cert }),
      ...(tls.key === undefined ? {} : { key: tls.key }),
    });
    this.#signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  /**
   * Fetches a small resource into memory. Returns null when the server says there is none (404, 403, 410).
   * Throws AtomicError 'network' (with the URL and why), or 'corrupt' when it is longer than `limit` bytes.
   */
  async get(url: URL, options: { limit: number; priority?: Priority | undefined }): Promise<Buffer | null> {
    return await this.#retrying(url, options.priority ?? 'metadata', async () => {
      const chunks: Buffer[] = [];
      let size = 0;
      const tooLong = () =>
        new AtomicError('corrupt', `${printableUrl(url)} is longer than the ${options.limit} bytes allowed`);
      const found = await this.#exchange(
        url,
        {},
        {
          head: (response) => {
            if (Number(response.headers['content-length'] ?? 0) > options.limit) throw tooLong();
          },
          data: (chunk) => {
            size += chunk.length;
            if (size > options.limit) throw tooLong();
            chunks.push(chunk);
          },
        },
      );
      if (!found) return null;
      return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, size);
    });
  }

  /**
   * Fetches an object into `download`, continuing what it already holds when the server can, and returns whether the
   * server has it. `limit(head)` says how long the body may be, once its first 16 bytes are known.
   */
  async download(
    url: URL,
    download: Download,
    options: { priority?: Priority | undefined; limit?: ((head: Buffer) => number) | undefined } = {},
  ): Promise<boolean> {
    return await this.#retrying(url, options.priority ?? 'content', async () => {
      let limit: number | undefined;
      const headers: Record<string, string> = {};
      if (download.size > 0) {
        headers['range'] = `bytes=${download.size}-`;
        if (download.validator !== undefined) headers['if-range'] = download.validator;
      }
      return await this.#exchange(url, headers, {
        head: (response) => {
          if (response.statusCode === 206) {
            const start = /^bytes (\d+)-/.exec(response.headers['content-range'] ?? '')?.[1];
            if (download.size === 0 || Number(start) !== download.size) {
              download.reset();
              throw new PassingError('the server answered with another range than asked for', { idleClose: true });
            }
            this.stats.resumedBytes += download.size;
            download.spliced = true;
          } else {
            if (download.size > 0) download.reset();
            const { etag } = response.headers;
            download.validator = etag?.startsWith('"') ? etag : response.headers['last-modified'];
          }
        },
        rangeRefused: () => download.reset(),
        data: (chunk) => {
          download.write(chunk);
          if (limit === undefined && download.head.length === 16) limit = options.limit?.(download.head);
          if (limit !== undefined && download.size > limit) {
            download.reset();
            throw new AtomicError('corrupt', `${printableUrl(url)} is longer than its own header allows`);
          }
        },
      });
    });
  }

  /** Runs one exchange under the concurrency limit, again and again while it fails in passing. */
  async #retrying<T>(url: URL, priority: Priority, exchange: () => Promise<T>): Promise<T> {
    const retries = this.#options.retries ?? 5;
    let idleCloses = 0;
    for (let failures = 0; ; ) {
      await this.#enter(priority);
      let failure: PassingError;
      try {
        return await exchange();
      } catch (error) {
        this.#checkAborted();
        if (!(error instanceof PassingError)) throw error;
        failure = error;
      } finally {
        this.#leave();
      }
      this.stats.retries++;
      if (failure.idleClose && idleCloses++ < this.#concurrency) continue;
      if (failures++ >= retries) {
        throw new AtomicError('network', `cannot fetch ${printableUrl(url)}: ${failure.message}`, {
          hint: `tried ${failures} times; check the network and the server, then run again: what was fetched is kept`,
        });
      }
      const pause = Math.min((this.#options.retryDelay ?? 250) * 2 ** (failures - 1), maxPauseMs);
      const wait = Math.max(failure.waitMs, pause * (0.75 + Math.random() / 2));
      await sleep(wait, undefined, { signal: this.#signal }).catch(() => {});
    }
  }

  #checkAborted(): void {
    if (this.#signal.aborted) throw abortError(this.#signal);
  }

  async #enter(priority: Priority): Promise<void> {
    this.#checkAborted();
    if (this.#running >= this.#concurrency) {
      await new Promise<void>((resolve) => this.#waiting[priority].push({ resolve }));
      if (this.#signal.aborted) {
        this.#leave();
        throw abortError(this.#signal);
      }
    } else this.#running++;
  }

  /** Hands the slot to the next in line, metadata first: it tells which content there is to fetch. */
  #leave(): void {
    const next = this.#waiting.metadata.shift() ?? this.#waiting.content.shift();
    if (next === undefined) this.#running--;
    else next.resolve();
  }

  /** One request, redirects followed. Resolves to false when the resource does not exist. */
  async #exchange(
    start: URL,
    headers: Record<string, string>,
    handler: { head(response: IncomingMessage): void; data(chunk: Buffer): void; rangeRefused?: () => void },
  ): Promise<boolean> {
    const maxRedirects = this.#options.maxRedirects ?? 10;
    let url = start;
    for (let hops = 0; ; hops++) {
      const answer = await this.#request(url, start, headers, handler);
      if (typeof answer === 'boolean') return answer;
      if (hops >= maxRedirects) {
        throw new AtomicError('network', `cannot fetch ${printableUrl(start)}: more than ${maxRedirects} redirects`, {
          hint: 'the server may be redirecting in a loop',
        });
      }
      url = this.#redirected(start, url, answer.location);
    }
  }

  #redirected(start: URL, from: URL, location: string): URL {
    const to = URL.parse(location, from.href);
    const refuse = (why: string) =>
      new AtomicError('network', `cannot fetch ${printableUrl(start)}: the server redirects ${why}`);
    if (to === null) throw refuse('to something that is no URL');
    if (to.protocol !== 'https:' && to.protocol !== 'http:') throw refuse(`to a ${to.protocol} URL`);
    if (from.protocol === 'https:' && to.protocol !== 'https:') throw refuse('from https to plain http');
    return to;
  }

  #request(
    url: URL,
    start: URL,
    headers: Record<string, string>,
    handler: { head(response: IncomingMessage): void; data(chunk: Buffer): void; rangeRefused?: () => void },
  ): Promise<boolean | { location: string }> {
    return new Promise((resolve, reject) => {
      const secure = url.protocol === 'https:';
      // Headers the user gave may be credentials: they go to the host they were given for, not where it points.
      const own = url.origin === start.origin ? this.#options.headers : undefined;
      const request = (secure ? httpsRequest : httpRequest)(url, {
        agent: secure ? this.#https : this.#http,
        headers: {
          'user-agent': this.#options.userAgent ?? 'atomic',
          accept: '*/*',
          'accept-encoding': 'identity',
          ...own,
          ...headers,
        },
      });
      const active: Active = { request, bytes: 0, windowStart: performance.now(), windowBytes: 0, stalled: false };
      const done = () => {
        this.#active.delete(active);
        if (this.#active.size === 0) this.#stopWatch();
      };
      const fail = (error: unknown) => {
        done();
        request.destroy();
        reject(this.#explain(error, url, active, request));
      };
      this.stats.requests++;
      this.#active.add(active);
      this.#startWatch();
      request.on('socket', (socket) => {
        if (this.#sockets.has(socket)) return;
        this.#sockets.add(socket);
        this.stats.connections++;
      });
      request.on('error', fail);
      request.on('response', (response) => {
        const status = response.statusCode ?? 0;
        response.on('error', fail);
        if (status === 200 || status === 206) {
          try {
            handler.head(response);
          } catch (error) {
            fail(error);
            return;
          }
          response.on('data', (chunk: Buffer) => {
            active.bytes += chunk.length;
            this.stats.bytes += chunk.length;
            this.#options.onBytes?.(chunk.length);
            try {
              handler.data(chunk);
            } catch (error) {
              fail(error);
            }
          });
          response.on('end', () => {
            done();
            resolve(true);
          });
          return;
        }
        // Everything else: the status is the answer; the page behind it is read only to keep the connection.
        let drained = 0;
        response.on('data', (chunk: Buffer) => {
          drained += chunk.length;
          if (drained > maxDrainBytes) request.destroy();
        });
        response.on('close', done);
        response.removeListener('error', fail);
        response.on('error', () => {});
        request.removeListener('error', fail);
        request.on('error', () => {});
        if (status === 404 || status === 403 || status === 410) resolve(false);
        else if ([301, 302, 303, 307, 308].includes(status) && response.headers.location !== undefined) {
          resolve({ location: response.headers.location });
        } else if (status === 416 && handler.rangeRefused !== undefined) {
          handler.rangeRefused();
          reject(new PassingError('the server refuses the range', { idleClose: true }));
        } else reject(this.#statusError(url, status, response));
      });
      request.end();
    });
  }

  #statusError(url: URL, status: number, response: IncomingMessage): Error {
    const text = `the server answered ${status} ${response.statusMessage ?? ''}`.trimEnd();
    if (status >= 500 || status === 408 || status === 429) {
      const seconds = Number(response.headers['retry-after']);
      return new PassingError(text, {
        waitMs: Number.isFinite(seconds) ? Math.min(seconds * 1000, maxRetryAfterMs) : 0,
      });
    }
    return new AtomicError('network', `cannot fetch ${printableUrl(url)}: ${text}`);
  }

  #explain(error: unknown, url: URL, active: Active, request: ClientRequest): unknown {
    if (this.#signal.aborted) return abortError(this.#signal);
    if (active.stalled) return new PassingError(`no data for ${this.#stallMs / 1000} s`);
    if (error instanceof AtomicError || error instanceof PassingError) return error;
    const code = errorCode(error);
    const reason = error instanceof Error && error.message !== '' ? error.message : code || String(error);
    if (passingErrors.has(code)) {
      const idleClose = request.reusedSocket && active.bytes === 0 && (code === 'ECONNRESET' || code === 'EPIPE');
      return new PassingError(reason === 'aborted' ? 'the connection broke off' : reason, { idleClose });
    }
    return new AtomicError('network', `cannot fetch ${printableUrl(url)}: ${reason}`, {
      cause: error,
      ...(code === 'ENOTFOUND' ? { hint: 'check the remote URL and the network' } : {}),
    });
  }

  #startWatch(): void {
    this.#watch ??= setInterval(
      () => {
        const now = performance.now();
        for (const active of this.#active) {
          if (now - active.windowStart < this.#stallMs) continue;
          const received = active.bytes - active.windowBytes;
          if (received < (lowSpeedBytesPerSecond * this.#stallMs) / 1000) {
            active.stalled = true;
            active.request.destroy(new Error('stalled'));
          }
          active.windowStart = now;
          active.windowBytes = active.bytes;
        }
      },
      Math.max(20, this.#stallMs / 8),
    );
  }

  #stopWatch(): void {
    if (this.#watch !== null) clearInterval(this.#watch);
    this.#watch = null;
  }

  #abortAll(): void {
    for (const { request } of this.#active) request.destroy(new Error('aborted'));
    for (const queue of [this.#waiting.metadata, this.#waiting.content]) {
      // Each takes a slot nobody uses any more, sees the signal and gives it back.
      for (const { resolve } of queue.splice(0)) {
        this.#running++;
        resolve();
      }
    }
  }

  /** Closes every connection. */
  [Symbol.dispose](): void {
    this.#closing.abort(new AtomicError('failed', 'the connection was closed after another failure'));
    this.#stopWatch();
    this.#http.destroy();
    this.#https.destroy();
  }
}
