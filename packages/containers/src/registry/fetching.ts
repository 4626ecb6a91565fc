import { type FileHandle, open } from 'node:fs/promises';
import { errnoCode } from '@atomic/linux';
import type { StoredBlob } from '../blobs/blob-commit.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import type { Upload } from '../blobs/upload.ts';

const PIECE = 1 << 18;

/** A blob on its way from another registry into the store; any number of clients can be sent it while it arrives. */
export class Fetching {
  /** Bytes it will have. */
  readonly size: number;
  readonly stored: Promise<StoredBlob>;
  /** Settles when something has come, or it is over. */
  readonly begun: Promise<unknown>;
  readonly #blobs: BlobStore;
  readonly #upload: Upload;
  readonly #waiting = new Set<() => void>();
  #steps = 0;
  #state: 'arriving' | 'stored' | 'failed' = 'arriving';

  constructor(
    blobs: BlobStore,
    digest: string,
    { size, source }: { size: number; source: AsyncIterable<Uint8Array> },
    limit: number,
  ) {
    this.size = size;
    this.#blobs = blobs;
    this.#upload = blobs.uploads.create(blobs.prefix);
    this.stored = this.#store(digest, source, limit);
    // Who waits for it is told; nobody may be waiting.
    this.stored.catch(() => {});
    const first = new Promise<void>((resolve) => this.#waiting.add(resolve));
    this.begun = Promise.race([first, this.stored]);
    this.begun.catch(() => {});
  }

  async #store(digest: string, source: AsyncIterable<Uint8Array>, limit: number): Promise<StoredBlob> {
    using upload = this.#upload;
    try {
      const { size } = this;
      await upload.append(this.#told(source), { limit: Math.min(limit, size) });
      const stored = await this.#blobs.adopt(upload, digest, { size });
      this.#state = 'stored';
      return stored;
    } catch (error) {
      this.#state = 'failed';
      throw error;
    } finally {
      upload.remove();
      this.#wake();
    }
  }

  async *#told(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      yield chunk;
      this.#wake();
    }
  }

  #wake(): void {
    this.#steps++;
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }

  /**
   * The content as it arrives. The last byte is held back until all of them are verified: who gets the whole was not lied
   * to; else the stream fails.
   */
  async *follow(signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const file = await this.#openArriving();
    if (file === undefined) {
      yield* this.#blobs.open(await this.stored);
      return;
    }
    try {
      for (let at = 0; at < this.size; ) {
        signal.throwIfAborted();
        const steps = this.#steps;
        const complete = this.#state === 'stored';
        if (this.#state === 'failed') await this.stored;
        const buffer = Buffer.allocUnsafe(Math.min(PIECE, this.size - at - (complete ? 0 : 1)));
        const { bytesRead } = buffer.length > 0 ? await file.read(buffer, 0, buffer.length, at) : { bytesRead: 0 };
        at += bytesRead;
        if (bytesRead > 0) yield buffer.subarray(0, bytesRead);
        else if (complete) throw new Error('the stored blob is shorter than it was');
        else if (steps === this.#steps) await new Promise<void>((resolve) => this.#waiting.add(resolve));
      }
      await this.stored;
    } finally {
      await file.close();
    }
  }

  /** The file the content arrives in, which stays open whatever name it gets; undefined when it is over. */
  async #openArriving(): Promise<FileHandle | undefined> {
    try {
      return await open(this.#upload.path, 'r');
    } catch (error) {
      if (errnoCode(error) === 'ENOENT') return undefined;
      throw error;
    }
  }
}
