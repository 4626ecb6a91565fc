import type { Connection, Exchange } from './exchange.ts';

export type Priority = 'metadata' | 'content';

/**
 * The connections to one server. Requests go to the least busy one, metadata before content (it tells which content
 * there is to fetch), and more connections open while requests wait.
 */
export class OriginPool {
  readonly #open: (ready: () => void) => Promise<Connection>;
  readonly #alone: boolean;
  readonly #connections: Connection[] = [];
  readonly #waiting: Record<Priority, Exchange[]> = { metadata: [], content: [] };
  readonly #taken: Record<Priority, number> = { metadata: 0, content: 0 };
  #limit: number;
  #opening = 0;
  #closed: Error | null = null;
  #pumping = false;

  /** `alone`: learn from the first connection before opening more (one may carry all, with HTTP/2). */
  constructor(options: { limit: number; alone: boolean; open: (ready: () => void) => Promise<Connection> }) {
    this.#limit = options.limit;
    this.#alone = options.alone;
    this.#open = options.open;
  }

  request(exchange: Exchange, priority: Priority): void {
    if (this.#closed !== null) {
      exchange.error(this.#closed);
      return;
    }
    this.#waiting[priority].push(exchange);
    this.#pump();
  }

  connections(): readonly Connection[] {
    return this.#connections;
  }

  #next(): Exchange | undefined {
    for (const priority of ['metadata', 'content'] as const) {
      const queue = this.#waiting[priority];
      const exchange = queue[this.#taken[priority]];
      if (exchange === undefined) continue;
      // A queue is shortened now and then: shift() of a long one costs its length.
      if (++this.#taken[priority] >= 1024 || this.#taken[priority] === queue.length) {
        queue.splice(0, this.#taken[priority]);
        this.#taken[priority] = 0;
      }
      return exchange;
    }
    return undefined;
  }

  get #pending(): number {
    const { metadata, content } = this.#waiting;
    return metadata.length - this.#taken.metadata + content.length - this.#taken.content;
  }

  #pump(): void {
    if (this.#pumping || this.#closed !== null) return;
    this.#pumping = true;
    try {
      for (let i = this.#connections.length - 1; i >= 0; i--) {
        const connection = this.#connections[i];
        if (connection?.closed && connection.load === 0) this.#connections.splice(i, 1);
      }
      while (this.#pending > 0) {
        let best: Connection | null = null;
        for (const connection of this.#connections) {
          if (connection.room > 0 && (best === null || connection.load < best.load)) best = connection;
        }
        // A queue behind somebody else's answer is worth a connection of its own.
        if (best === null || best.load > 0) this.#grow();
        if (best === null) break;
        const exchange = this.#next();
        if (exchange !== undefined) best.send(exchange);
      }
    } finally {
      this.#pumping = false;
    }
  }

  #grow(): void {
    const count = this.#connections.length + this.#opening;
    if (count >= this.#limit || this.#opening >= this.#pending) return;
    if (this.#alone && this.#connections.length === 0 && this.#opening > 0) return;
    if (this.#connections.some(({ multiplexed, closed }) => multiplexed && !closed)) return;
    this.#opening++;
    this.#open(() => this.#pump()).then(
      (connection) => {
        this.#opening--;
        if (this.#closed !== null) connection.destroy(this.#closed);
        else this.#connections.push(connection);
        this.#pump();
      },
      (error: unknown) => {
        this.#opening--;
        if (this.#connections.some(({ closed }) => !closed)) {
          // A server may allow fewer connections than we would like: what is open does.
          this.#limit = Math.max(1, this.#connections.length);
          this.#pump();
        } else if (this.#opening === 0) this.#fail(error instanceof Error ? error : new Error(String(error)));
      },
    );
  }

  #fail(error: Error): void {
    for (let exchange = this.#next(); exchange !== undefined; exchange = this.#next()) exchange.error(error);
  }

  /** Closes every connection; what is under way or waiting fails with `reason`. */
  close(reason: Error): void {
    if (this.#closed !== null) return;
    this.#closed = reason;
    for (const connection of this.#connections.splice(0)) connection.destroy(reason);
    this.#fail(reason);
  }
}
