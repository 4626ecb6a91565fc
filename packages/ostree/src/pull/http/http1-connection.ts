import type { Duplex } from 'node:stream';
import { type Connection, type Exchange, PassingError } from './exchange.ts';
import { ProtocolError, ResponseParser } from './response-parser.ts';

/** Requests sent ahead on one connection once the server has shown that it keeps connections open. */
const pipelineDepth = 6;
/** While a body this large is under way nothing more is queued behind it. */
const largeBody = 256 * 1024;
/** An error page above this is not read to its end: closing the connection is cheaper. */
const maxDrainBytes = 64 * 1024;

/** HTTP/1.1 over a stream, with requests sent ahead of the answers. */
export class Http1Connection implements Connection {
  readonly #stream: Duplex;
  readonly #parser: ResponseParser;
  readonly #ready: () => void;
  readonly #absolute: boolean;
  /** Sent and not answered to the end, oldest first. */
  readonly #sent: Exchange[] = [];
  #text = '';
  #depth = 1;
  #answering = false;
  #blocked = false;
  #served = 0;
  #drained = 0;
  readonly multiplexed = false;
  received = 0;
  closed = false;

  /** `ready` hears when there may be room again; `absolute` requests name the whole URL, as a proxy wants. */
  constructor(stream: Duplex, ready: () => void, options: { absolute?: boolean } = {}) {
    this.#stream = stream;
    this.#ready = ready;
    this.#absolute = options.absolute === true;
    this.#parser = new ResponseParser({
      head: (head) => {
        this.#answering = true;
        this.#blocked = Number(head.headers.get('content-length') ?? 0) > largeBody;
        this.#drained = head.status >= 300 ? 0 : Number.NEGATIVE_INFINITY;
        this.#sent[0]?.head(head);
      },
      data: (chunk) => {
        this.received += chunk.length;
        this.#drained += chunk.length;
        if (this.#drained > maxDrainBytes) throw new ProtocolError('the error page has no end');
        this.#sent[0]?.data(chunk);
      },
      end: (reusable) => {
        this.#answering = false;
        this.#blocked = false;
        this.#served++;
        const done = this.#sent.shift();
        if (reusable) this.#depth = pipelineDepth;
        done?.end();
        if (!reusable) this.destroy(new PassingError('[55] connection closed', { unheard: true, network: true }));
        else this.#ready();
      },
    });
    stream.on('data', (chunk: Buffer) => this.take(chunk));
    stream.on('error', (error) =>
      this.#broke(`[56] Failure when receiving data from the peer: ${error.message}`, error),
    );
    stream.on('close', () => this.#ended());
    stream.on('end', () => this.#ended());
  }

  get load(): number {
    return this.#sent.length;
  }

  get room(): number {
    return this.closed || this.#blocked ? 0 : this.#depth - this.#sent.length;
  }

  send(exchange: Exchange): void {
    this.#sent.push(exchange);
    const { url } = exchange;
    let text = `GET ${this.#absolute ? url.origin : ''}${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\n`;
    for (const [name, value] of Object.entries(exchange.headers)) text += `${name}: ${value}\r\n`;
    // Requests of one turn leave in one packet.
    if (this.#text === '') queueMicrotask(() => this.#flush());
    this.#text += `${text}\r\n`;
  }

  #flush(): void {
    const text = this.#text;
    this.#text = '';
    if (!this.closed) this.#stream.write(text, 'latin1');
  }

  /** Bytes from the server. The chunk may be used again when this returns. */
  take(chunk: Buffer): void {
    if (this.closed) return;
    try {
      if (this.#sent.length === 0) throw new ProtocolError('the server speaks unasked');
      this.#parser.feed(chunk);
    } catch (error) {
      this.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #ended(): void {
    if (this.closed || (this.#answering && this.#parser.close())) return;
    const partial = this.#answering || !this.#parser.idle;
    this.#broke(partial ? '[18] Transferred a partial file' : '[52] Server returned nothing (no headers, no data)');
  }

  /** The connection is gone. What it kept open and never looked at is simply asked again, elsewhere. */
  #broke(message: string, cause?: Error): void {
    const unheard = !this.#answering && this.#parser.idle && this.#served > 0;
    this.destroy(new PassingError(message, { unheard, network: true, cause }));
  }

  destroy(reason: Error): void {
    if (this.closed) return;
    this.closed = true;
    this.#stream.destroy();
    const [first, ...others] = this.#sent.splice(0);
    first?.error(reason);
    const unheard = new PassingError('[55] connection closed', { unheard: true, network: true });
    for (const exchange of others) exchange.error(unheard);
    this.#ready();
  }
}
