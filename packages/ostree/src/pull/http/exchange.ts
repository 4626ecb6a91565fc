import type { ResponseHead } from './response-parser.ts';

/** One GET and who wants its answer. Exactly one of `end` and `error` is called, once. */
export interface Exchange {
  url: URL;
  /** Sent as they are, besides Host. */
  headers: Record<string, string>;
  head(head: ResponseHead): void;
  /** The chunk is only valid during the call. */
  data(chunk: Buffer): void;
  end(): void;
  error(error: Error): void;
}

/** A way to a server that takes requests. */
export interface Connection {
  /** Requests under way. */
  readonly load: number;
  /** How many more it takes now. */
  readonly room: number;
  readonly closed: boolean;
  /** One connection carries as many requests as are worth sending. */
  readonly multiplexed: boolean;
  /** Body bytes received so far, for the watch over slow servers. */
  readonly received: number;
  send(exchange: Exchange): void;
  /** Ends it; what is under way fails with `reason`. */
  destroy(reason: Error): void;
}

/** A failure that another try may cure. */
export class PassingError extends Error {
  /** What the server asks us to wait, in ms. */
  readonly waitMs: number;
  /** The request was never looked at (the server closed an idle connection): tried again at once. */
  readonly unheard: boolean;
  /** A failure of the connection, not an answer of the server. */
  readonly network: boolean;

  constructor(
    message: string,
    options: { waitMs?: number; unheard?: boolean; network?: boolean; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.waitMs = options.waitMs ?? 0;
    this.unheard = options.unheard ?? false;
    this.network = options.network ?? false;
  }
}
