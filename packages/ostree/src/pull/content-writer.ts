import type { Checksum } from '../objects/checksum.ts';
import type { Imported } from '../repo/import-content.ts';
import type { Repo } from '../repo/repo.ts';
import type { Stored } from '../repo/stager.ts';
import { storeFilez } from '../repo/store-filez.ts';
import type { Transaction } from '../repo/transaction.ts';
import { startWork, type Work } from '../workers/work.ts';

export interface ContentWriterOptions {
  /** Take the checksums of what comes over the network on trust (a mirror's own copy). */
  trusted: boolean;
  /** Refuse files with permissions beyond 0775. */
  bareUserOnly: boolean;
  signal: AbortSignal;
}

/**
 * Writes content objects into a transaction, each verified before it gets its name; on threads once there are many.
 * What is handed over is written some time before `finish` returns; a failure shows in a later call.
 */
export class ContentWriter implements AsyncDisposable {
  readonly #transaction: Transaction;
  readonly #options: ContentWriterOptions;
  readonly #imports = new Map<Repo, Promise<Work<'import'>>>();
  readonly #afterwards = new Map<Checksum, () => void>();
  #filez: Promise<Work<'filez'>> | null = null;
  /** Objects written so far that were not here before. */
  written = 0;

  constructor(transaction: Transaction, options: ContentWriterOptions) {
    this.#transaction = transaction;
    this.#options = options;
  }

  #note(stored: Stored): void {
    this.#transaction.noteStored(stored);
    this.written++;
  }

  /**
   * An archive object that came over the network, in memory or in a file. Waits while the writers are behind.
   * `afterwards` is called when it is written. Throws `corrupt`, `no-space`, perhaps for an earlier one.
   */
  async filez(
    body: Buffer | { path: string; size: number },
    checksum: Checksum,
    afterwards: () => void,
  ): Promise<void> {
    const { trusted, bareUserOnly, signal } = this.#options;
    this.#filez ??= startWork(
      'filez',
      { target: this.#transaction.target, trusted, bareUserOnly },
      {
        signal,
        help: false,
        each: (stored, item) => {
          this.#note(stored);
          this.#afterwards.get(item.checksum)?.();
          this.#afterwards.delete(item.checksum);
        },
      },
    );
    this.#afterwards.set(checksum, afterwards);
    const size = Buffer.isBuffer(body) ? body.length : body.size;
    await (await this.#filez).push({ checksum, body: Buffer.isBuffer(body) ? body : { path: body.path } }, size);
  }

  /** As {@link filez}, done when it returns. */
  async filezNow(body: Buffer | { path: string }, checksum: Checksum): Promise<void> {
    const { trusted, bareUserOnly } = this.#options;
    this.#note(await storeFilez(this.#transaction.stager, body, checksum, { trusted, bareUserOnly }));
  }

  /** An object of another repository on this machine. Waits while the writers are behind. */
  async local(source: Repo, checksum: Checksum, trusted: boolean): Promise<void> {
    let work = this.#imports.get(source);
    if (work === undefined) {
      const { bareUserOnly, signal } = this.#options;
      work = startWork(
        'import',
        { target: this.#transaction.target, source: source.path, trusted, bareUserOnly },
        { signal, room: 4096, each: (imported: Imported) => this.#note(imported) },
      );
      this.#imports.set(source, work);
    }
    await (await work).push(checksum);
  }

  /** Waits until everything handed over is written. */
  async finish(): Promise<void> {
    if (this.#filez !== null) await (await this.#filez).finish();
    for (const work of this.#imports.values()) await (await work).finish();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const works = [this.#filez, ...this.#imports.values()].filter((work) => work !== null);
    for (const work of await Promise.allSettled(works)) {
      if (work.status === 'fulfilled') await work.value[Symbol.asyncDispose]();
    }
  }
}
