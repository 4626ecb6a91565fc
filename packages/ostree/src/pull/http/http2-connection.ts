import { type ClientHttp2Session, connect, constants } from 'node:http2';
import type { Duplex } from 'node:stream';
import { type Connection, type Exchange, PassingError } from './exchange.ts';

/** Enough for links of 100 ms and 1 Gbit/s: the window must not be what limits a transfer. */
const streamWindow = 4 << 20;
const sessionWindow = 16 << 20;
const maxStreams = 64;
const maxDrainBytes = 64 * 1024;

/** HTTP/2 over a TLS stream: all requests on one connection. */
export class Http2Connection implements Connection {
  readonly #session: ClientHttp2Session;
  readonly #active = new Map<Exchange, (error: Error) => void>();
  readonly #ready: () => void;
  readonly multiplexed = true;
  received = 0;
  closed = false;

  constructor(origin: string, stream: Duplex, ready: () => void) {
    this.#ready = ready;
    this.#session = connect(origin, {
      createConnection: () => stream,
      settings: { enablePush: false, initialWindowSize: streamWindow },
    });
    this.#session.on('connect', () => this.#session.setLocalWindowSize(sessionWindow));
    this.#session.on('error', (error) => this.destroy(error));
    this.#session.on('goaway', () => this.#retire());
    this.#session.on('close', () =>
      this.destroy(new PassingError('[55] connection closed', { unheard: true, network: true })),
    );
  }

  get load(): number {
    return this.#active.size;
  }

  get room(): number {
    if (this.closed) return 0;
    const allowed = this.#session.remoteSettings?.maxConcurrentStreams ?? maxStreams;
    return Math.min(allowed, maxStreams) - this.#active.size;
  }

  /** The server takes no more requests here: those under way end, new ones go to another connection. */
  #retire(): void {
    this.closed = true;
    this.#session.close();
    this.#ready();
  }

  send(exchange: Exchange): void {
    const { url } = exchange;
    const lower = Object.entries(exchange.headers).map(([name, value]) => [name.toLowerCase(), value] as const);
    const stream = this.#session.request({
      ':method': 'GET',
      ':scheme': url.protocol.slice(0, -1),
      ':authority': url.host,
      ':path': `${url.pathname}${url.search}`,
      ...Object.fromEntries(lower.filter(([name]) => name !== 'connection')),
    });
    let answered = false;
    const settle = (error: Error | null) => {
      if (!this.#active.delete(exchange)) return;
      if (error === null) exchange.end();
      else {
        stream.close(constants.NGHTTP2_CANCEL);
        exchange.error(error);
      }
      this.#ready();
    };
    const guarded = (act: () => void) => {
      try {
        if (this.#active.has(exchange)) act();
      } catch (error) {
        settle(error instanceof Error ? error : new Error(String(error)));
      }
    };
    this.#active.set(exchange, settle);
    let drained = Number.NEGATIVE_INFINITY;
    let left = Number.NaN;
    stream.on('response', (headers) => {
      answered = true;
      const known = new Map<string, string>();
      for (const [name, value] of Object.entries(headers)) {
        if (value !== undefined) known.set(name, Array.isArray(value) ? value.join(', ') : String(value));
      }
      const status = Number(headers[':status'] ?? 0);
      if (status >= 300) drained = 0;
      left = Number(known.get('content-length') ?? Number.NaN);
      guarded(() => exchange.head({ status, headers: known }));
    });
    stream.on('data', (chunk: Buffer) => {
      this.received += chunk.length;
      drained += chunk.length;
      left -= chunk.length;
      guarded(() => {
        if (drained > maxDrainBytes) throw new Error('the error page has no end');
        exchange.data(chunk);
      });
    });
    const partial = () => new PassingError('[18] Transferred a partial file', { network: true });
    stream.on('end', () => settle(answered && !(left > 0) && stream.rstCode === 0 ? null : partial()));
    stream.on('error', (error) => {
      const refused = stream.rstCode === constants.NGHTTP2_REFUSED_STREAM;
      settle(new PassingError(`[92] ${error.message}`, { unheard: refused, network: true, cause: error }));
    });
    stream.on('close', () => settle(partial()));
    stream.end();
  }

  destroy(reason: Error): void {
    const failing = [...this.#active.values()];
    if (this.closed && failing.length === 0) return;
    this.closed = true;
    for (const settle of failing) settle(reason);
    this.#session.destroy();
    this.#ready();
  }
}
