import { corrupt } from '../error.ts';

/** Reads a stream of chunks by exact numbers of bytes. */
export class ByteReader implements AsyncDisposable {
  readonly #source: AsyncIterator<Uint8Array>;
  #rest: Buffer = Buffer.alloc(0);
  #ended = false;
  #failed: { error: unknown } | undefined;
  /** Bytes taken so far. */
  position = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** A source throws once; who reads on afterwards gets the same error. */
  async #next(): Promise<IteratorResult<Uint8Array>> {
    try {
      const next = await this.#source.next();
      if (this.#failed === undefined) return next;
    } catch (error) {
      this.#failed ??= { error };
    }
    throw this.#failed.error;
  }

  async #fill(): Promise<boolean> {
    while (!this.#ended && this.#rest.length === 0) {
      const next = await this.#next();
      if (next.done) this.#ended = true;
      else this.#rest = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
    }
    return this.#rest.length > 0;
  }

  #take(length: number): Buffer {
    const taken = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    this.position += taken.length;
    return taken;
  }

  /** The next bytes without taking them; fewer when the stream ends before. */
  async peek(length: number): Promise<Buffer> {
    while (this.#rest.length < length && !this.#ended) {
      const next = await this.#next();
      if (next.done) this.#ended = true;
      else this.#rest = Buffer.concat([this.#rest, next.value]);
    }
    return this.#rest.subarray(0, length);
  }

  /** Exactly `length` bytes, or null when the stream ended before the first of them; throws `corrupt` when in their midst. */
  async read(length: number): Promise<Buffer | null> {
    if (!(await this.#fill())) return null;
    if (this.#rest.length >= length) return this.#take(length);
    const bytes = await this.peek(length);
    if (bytes.length < length) throw corrupt('the archive is cut short');
    return this.#take(length);
  }

  /** As {@link read}, where the stream must not end. */
  async need(length: number): Promise<Buffer> {
    const bytes = length === 0 ? Buffer.alloc(0) : await this.read(length);
    if (bytes === null) throw corrupt('the archive is cut short');
    return bytes;
  }

  /** The next `length` bytes as they come. */
  async *stream(length: number): AsyncGenerator<Buffer> {
    for (let left = length; left > 0; ) {
      if (!(await this.#fill())) throw corrupt('the archive is cut short');
      const chunk = this.#take(Math.min(left, this.#rest.length));
      left -= chunk.length;
      yield chunk;
    }
  }

  async ended(): Promise<boolean> {
    return !(await this.#fill());
  }

  async skipTo(position: number): Promise<void> {
    while (this.position < position) {
      if (!(await this.#fill())) throw corrupt('the archive is cut short');
      this.#take(Math.min(position - this.position, this.#rest.length));
    }
  }

  /** Everything that is left. */
  async *remaining(): AsyncGenerator<Buffer> {
    while (await this.#fill()) yield this.#take(this.#rest.length);
  }

  /** Read to the end, for what is checked there. */
  async drain(): Promise<void> {
    while (await this.#fill()) this.#take(this.#rest.length);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source.return?.();
  }
}
