/** What is known of a response before its body: names in lower case, repeated headers joined by ", ". */
export interface ResponseHead {
  status: number;
  headers: Map<string, string>;
}

export interface ParserEvents {
  head(head: ResponseHead): void;
  /** The chunk is only valid during the call: its memory is used again. */
  data(chunk: Buffer): void;
  /** `reusable`: another response may follow on this connection. */
  end(reusable: boolean): void;
}

/** What came is no HTTP/1.1 response; the connection is of no more use. */
export class ProtocolError extends Error {}

const maxHeadBytes = 64 * 1024;
const maxLineBytes = 4096;
const headEnd = Buffer.from('\r\n\r\n');
const lineEnd = Buffer.from('\r\n');
const none = Buffer.alloc(0);

const statusPattern = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: |$)/;
const namePattern = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;

type State = 'head' | 'sized' | 'to-close' | 'chunk-size' | 'chunk' | 'chunk-end' | 'trailer' | 'dead';

/**
 * Reads the responses to GET requests from the bytes of one connection, one after the other (RFC 9112, strictly: what
 * could be read in two ways is refused).
 */
export class ResponseParser {
  readonly #events: ParserEvents;
  #state: State = 'head';
  #carry: Buffer = none;
  #left = 0;
  #reusable = true;

  constructor(events: ParserEvents) {
    this.#events = events;
  }

  /** Between two responses: nothing of one has come yet. */
  get idle(): boolean {
    return this.#state === 'head' && this.#carry.length === 0;
  }

  /** Takes the next bytes; throws {@link ProtocolError}, and what the events throw. */
  feed(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      switch (this.#state) {
        case 'head': {
          const text = this.#take(chunk, at, headEnd, maxHeadBytes);
          if (text === null) return;
          at = text.next;
          this.#head(text.text);
          break;
        }
        case 'sized':
        case 'chunk': {
          const count = Math.min(this.#left, chunk.length - at);
          this.#left -= count;
          this.#events.data(chunk.subarray(at, at + count));
          at += count;
          if (this.#left > 0) return;
          if (this.#state === 'chunk') this.#state = 'chunk-end';
          else this.#end();
          break;
        }
        case 'to-close':
          this.#events.data(chunk.subarray(at));
          return;
        case 'chunk-size':
        case 'chunk-end':
        case 'trailer': {
          const line = this.#take(chunk, at, lineEnd, maxLineBytes);
          if (line === null) return;
          at = line.next;
          this.#line(line.text);
          break;
        }
        case 'dead':
          throw new ProtocolError('the server sends more than it was asked for');
      }
    }
  }

  /** The connection ended. Returns whether that completes the response (a body without a length ends so). */
  close(): boolean {
    if (this.#state !== 'to-close') return false;
    this.#reusable = false;
    this.#end();
    return true;
  }

  /** Bytes up to `end`, which may have begun in an earlier chunk; null when it has not come. */
  #take(chunk: Buffer, at: number, end: Buffer, limit: number): { text: string; next: number } | null {
    if (this.#carry.length === 0) {
      const found = chunk.indexOf(end, at);
      if (found >= 0 && found - at <= limit) {
        return { text: chunk.toString('latin1', at, found), next: found + end.length };
      }
    }
    const before = this.#carry.length;
    const whole = Buffer.concat([this.#carry, chunk.subarray(at)]);
    const found = whole.indexOf(end);
    if ((found < 0 ? whole.length : found) > limit) throw new ProtocolError('the server sends an endless header');
    if (found < 0) {
      this.#carry = whole;
      return null;
    }
    this.#carry = none;
    return { text: whole.toString('latin1', 0, found), next: at + found + end.length - before };
  }

  #head(text: string): void {
    const lines = text.split('\r\n');
    const status = statusPattern.exec(lines[0] ?? '');
    if (status === null) throw new ProtocolError('the server does not speak HTTP/1.1');
    const head: ResponseHead = { status: Number(status[2]), headers: new Map() };
    for (let i = 1; i < lines.length; i++) {
      const line = lines[i] ?? '';
      const colon = line.indexOf(':');
      const name = line.slice(0, colon).toLowerCase();
      if (colon <= 0 || !namePattern.test(name)) throw new ProtocolError('the server sends a malformed header');
      const value = line.slice(colon + 1).trim();
      const earlier = head.headers.get(name);
      head.headers.set(name, earlier === undefined ? value : `${earlier}, ${value}`);
    }
    // 100 Continue and 103 Early Hints precede the response proper.
    if (head.status < 200) {
      if (head.status === 101) throw new ProtocolError('the server switches protocols unasked');
      return;
    }
    const connection = head.headers.get('connection')?.toLowerCase() ?? '';
    this.#reusable = status[1] === '1' ? !connection.includes('close') : connection.includes('keep-alive');
    this.#body(head);
  }

  #body(head: ResponseHead): void {
    const encoding = head.headers.get('transfer-encoding');
    const length = head.headers.get('content-length');
    if (encoding !== undefined) {
      if (encoding.toLowerCase() !== 'chunked') throw new ProtocolError(`unknown transfer encoding ${encoding}`);
      // Both at once can be read in two ways; the length then counts for nothing, nor does what follows.
      if (length !== undefined) this.#reusable = false;
      this.#state = 'chunk-size';
    } else if (length !== undefined) {
      const [first, ...others] = length.split(', ');
      if (first === undefined || !/^\d{1,15}$/.test(first) || others.some((other) => other !== first)) {
        throw new ProtocolError('the server sends a malformed length');
      }
      this.#left = Number(first);
      this.#state = 'sized';
    } else this.#state = 'to-close';
    if (head.status === 204 || head.status === 304) {
      this.#left = 0;
      this.#state = 'sized';
    }
    const empty = this.#state === 'sized' && this.#left === 0;
    this.#events.head(head);
    if (empty) this.#end();
  }

  #line(text: string): void {
    if (this.#state === 'chunk-end') {
      if (text !== '') throw new ProtocolError('the server sends a malformed chunk');
      this.#state = 'chunk-size';
    } else if (this.#state === 'trailer') {
      if (text === '') this.#end();
    } else {
      const size = /^([0-9a-fA-F]{1,12})[ \t]*(;|$)/.exec(text)?.[1];
      if (size === undefined) throw new ProtocolError('the server sends a malformed chunk');
      this.#left = Number.parseInt(size, 16);
      this.#state = this.#left === 0 ? 'trailer' : 'chunk';
    }
  }

  #end(): void {
    const reusable = this.#reusable;
    this.#state = reusable ? 'head' : 'dead';
    this.#events.end(reusable);
  }
}
