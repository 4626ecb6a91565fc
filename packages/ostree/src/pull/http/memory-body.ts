import { gunzipSync } from 'node:zlib';
import { AtomicError } from '../../error.ts';
import { PassingError } from './exchange.ts';
import type { ResponseHead } from './response-parser.ts';
import { printableUrl } from './url.ts';

export interface Fetched {
  bytes: Buffer;
  /** The server says that what the caller has (`etag`, `modifiedSince`) is still right; `bytes` is empty. */
  notModified: boolean;
  etag: string | undefined;
  /** Unix time in seconds. */
  lastModified: number | undefined;
  /** The URL it came from, redirects apart. */
  url: URL;
}

/** What is done with an answer of the server. */
export interface Handler {
  head(head: ResponseHead): void;
  data(chunk: Buffer): void;
  rangeRefused?: () => void;
}

const tooLong = (url: URL, limit: number, size: number) =>
  new AtomicError('corrupt', `URI ${printableUrl(url)} exceeded maximum size of ${limit} bytes (it has ${size})`);

/** A small body in memory, at most `limit` bytes. What a broken connection brought is gone on with, not begun anew. */
export class MemoryBody implements Handler {
  readonly #url: URL;
  readonly #limit: number;
  #head: ResponseHead | null = null;
  #chunks: Buffer[] = [];
  #size = 0;
  #validator: string | undefined;

  constructor(url: URL, limit: number) {
    this.#url = url;
    this.#limit = limit;
  }

  /** For the next request: where to go on. */
  headers(): Record<string, string> {
    if (this.#size === 0 || this.#validator === undefined) return {};
    return { Range: `bytes=${this.#size}-`, 'If-Range': this.#validator };
  }

  head(head: ResponseHead): void {
    if (head.status === 206) {
      const start = /^bytes (\d+)-/.exec(head.headers.get('content-range') ?? '')?.[1];
      if (this.#size > 0 && Number(start) === this.#size) return;
      this.#reset();
      throw new PassingError('the server answered with another range than asked for', { unheard: true });
    }
    this.#reset();
    this.#head = head;
    const length = Number(head.headers.get('content-length') ?? Number.NaN);
    if (length > this.#limit) throw tooLong(this.#url, this.#limit, length);
    // A part of something packed on the way is a part of nothing.
    const etag = head.headers.get('etag');
    if (!head.headers.has('content-encoding')) {
      this.#validator = etag?.startsWith('"') ? etag : head.headers.get('last-modified');
    }
  }

  data(chunk: Buffer): void {
    this.#size += chunk.length;
    if (this.#size > this.#limit) throw tooLong(this.#url, this.#limit, this.#size);
    this.#chunks.push(Buffer.from(chunk));
  }

  rangeRefused(): void {
    this.#reset();
  }

  #reset(): void {
    this.#chunks = [];
    this.#size = 0;
    this.#validator = undefined;
  }

  fetched(): Fetched | null {
    const head = this.#head;
    if (head === null) return null;
    const [only] = this.#chunks;
    let bytes = this.#chunks.length === 1 && only !== undefined ? only : Buffer.concat(this.#chunks, this.#size);
    if (head.headers.get('content-encoding')?.toLowerCase() === 'gzip') bytes = this.#unzip(bytes);
    const modified = Date.parse(head.headers.get('last-modified') ?? '');
    return {
      bytes,
      notModified: head.status === 304,
      etag: head.headers.get('etag'),
      lastModified: Number.isNaN(modified) ? undefined : Math.floor(modified / 1000),
      url: this.#url,
    };
  }

  #unzip(bytes: Buffer): Buffer {
    try {
      return gunzipSync(bytes, { maxOutputLength: Math.max(1, this.#limit) });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new AtomicError('corrupt', `${printableUrl(this.#url)} is compressed badly: ${why}`, { cause: error });
    }
  }
}
