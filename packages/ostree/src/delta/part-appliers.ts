import type { Transaction } from '../repo/transaction.ts';
import { errorFromData } from '../workers/messages.ts';
import { startWork, type Work } from '../workers/work.ts';
import { makeAnyPart, type PartToApply } from './apply-any-part.ts';
import { noteMade, PartSink } from './part-sink.ts';

/** Below so many bytes of objects a thread would start for longer than it works. */
const WORTH_A_THREAD = 16 << 20;

/**
 * Applies the parts of a delta, two at a time: one on a thread, where the delta is large, and one here. More would need
 * more memory than is to be spent. Parts are independent: they build upon objects of the repository only.
 */
export class PartAppliers implements AsyncDisposable {
  readonly #transaction: Transaction;
  readonly #bytes: number;
  readonly #signal: AbortSignal | undefined;
  #work: Work<'apply-part'> | null = null;
  #busy = false;
  #result: { error: unknown; bytes: number } = { error: null, bytes: 0 };

  /** `bytes` is about how much all parts make. */
  constructor(transaction: Transaction, bytes: number, signal: AbortSignal | undefined) {
    this.#transaction = transaction;
    this.#bytes = bytes;
    this.#signal = signal;
  }

  /** Makes a part's objects; returns the bytes of content written. To be asked for two parts at a time at most. */
  async apply(part: PartToApply): Promise<number> {
    if (!this.#busy && this.#bytes > WORTH_A_THREAD && this.#transaction.target.resumable) {
      this.#busy = true;
      try {
        return await this.#there(part);
      } finally {
        this.#busy = false;
      }
    }
    return await PartSink.within(this.#transaction, (sink) => makeAnyPart(sink, part, this.#signal));
  }

  async #there(part: PartToApply): Promise<number> {
    const { target } = this.#transaction;
    this.#work ??= await startWork(
      'apply-part',
      { target },
      {
        signal: this.#signal,
        threads: 1,
        help: false,
        each: ({ made, bytes, error }) => {
          noteMade(this.#transaction, made);
          this.#result = { bytes, error: error === null ? null : errorFromData(error) };
        },
      },
    );
    // A view would take all of its memory along.
    const file = part.file instanceof Uint8Array ? Uint8Array.from(part.file) : part.file;
    // So that the thread is started for the first part already.
    await this.#work.push({ ...part, file }, this.#bytes + WORTH_A_THREAD);
    await this.#work.finish();
    const { bytes, error } = this.#result;
    if (error !== null) throw error;
    return bytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#work?.[Symbol.asyncDispose]();
    this.#work = null;
  }
}
