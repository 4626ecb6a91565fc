import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { AtomicError } from '../error.ts';
import { type JobKind, type Jobs, openJob, type Runner } from './jobs.ts';
import { type Answer, errorFromData, type Start } from './messages.ts';

export interface WorkOptions<K extends JobKind> {
  /** Told of each item that is done, in no particular order. What it throws ends the work. */
  each(output: Jobs[K]['output'], item: Jobs[K]['item']): void;
  signal?: AbortSignal | undefined;
  /** How many threads at most; 0 does everything here. Default: one per core, less the caller's when it helps. */
  threads?: number | undefined;
  /** Whether this thread does items too while all others are busy (the default). Not for who serves the network. */
  help?: boolean | undefined;
  /**
   * How many items may wait before a push does (64). More where many push at a time and items are small: each that
   * waits does one here, which would leave the threads without.
   */
  room?: number | undefined;
}

/** Up to here a job is done on this thread: starting others costs more than they save. */
const SMALL = { items: 300, bytes: 16 << 20 };
const MAX_THREADS = 8;
/** An item beyond this goes to a thread even when this one could help: it would stop the hand-out for too long. */
const BIG_ITEM = 1 << 20;
const BATCH = { items: 32, bytes: 1 << 20 };
/** Batches under way per thread: one being worked on, one to go on with; more of many small items, in case we are late. */
const DEPTH = { usual: 2, small: 4 };
/** How long this thread works before it looks for answers, in milliseconds. */
const SLICE = 4;
/** Heap of a thread in MiB; items are small, and buffers lie outside. */
const HEAP = 96;

interface Item<K extends JobKind> {
  item: Jobs[K]['item'];
  bytes: number;
}

interface Thread<K extends JobKind> {
  worker: Worker;
  sent: Item<K>[][];
  answered: boolean;
}

/** Work that is handed out as it is found; see {@link startWork}. */
export interface Work<K extends JobKind> extends AsyncDisposable {
  /**
   * Takes an item; `bytes` is about how much data it means. Returns a promise when the caller is to wait (the queue is
   * bounded), else undefined. Throws, or rejects, with the first failure.
   */
  push(item: Jobs[K]['item'], bytes?: number): Promise<void> | undefined;
  /** Waits until all items are done; rejects with the first failure. */
  finish(): Promise<void>;
}

/**
 * Starts work of one kind: `using work = await startWork('verify', { repo }, { each })`, then `push` and `finish`.
 * Small jobs run on this thread; once a job proves large, threads take over and this one helps. Leaving the block
 * ends the threads, whatever they were at. Errors come back as they were thrown; an aborted signal throws its reason.
 */
export async function startWork<K extends JobKind>(
  kind: K,
  shared: Jobs[K]['shared'],
  options: WorkOptions<K>,
): Promise<Work<K>> {
  const runner = await openJob(kind, shared);
  return new Pool(kind, shared, runner, options);
}

class Pool<K extends JobKind> implements Work<K> {
  readonly #start: Start<K>;
  readonly #run: Runner<K>;
  readonly #options: WorkOptions<K>;
  readonly #threads: Thread<K>[] = [];
  #queue: Item<K>[] = [];
  #queueBytes = 0;
  #seen = { items: 0, bytes: 0 };
  #spawned = false;
  #failure: { error: unknown } | null = null;
  /** Who waits for an answer: several may, each in the middle of a `push`. */
  #waiting: (() => void)[] = [];
  #sliceEnd = 0;
  /** Items under way on this thread, in promises that their pushers may not have awaited. */
  #ownPending = 0;
  readonly #onAbort = () => this.#wake();

  constructor(kind: K, shared: Jobs[K]['shared'], run: Runner<K>, options: WorkOptions<K>) {
    this.#start = { kind, shared };
    this.#run = run;
    this.#options = options;
    options.signal?.addEventListener('abort', this.#onAbort);
  }

  push(item: Jobs[K]['item'], bytes = 0): Promise<void> | undefined {
    this.#check();
    this.#seen.items++;
    this.#seen.bytes += bytes;
    this.#queue.push({ item, bytes });
    this.#queueBytes += bytes;
    if (!this.#spawned && (this.#seen.items > SMALL.items || this.#seen.bytes > SMALL.bytes)) this.#spawn();
    if (this.#threads.length === 0) return this.#here();
    this.#dispatch(false);
    const { room = 2 * BATCH.items } = this.#options;
    return this.#queue.length > room || this.#queueBytes > 4 * BATCH.bytes ? this.#relieve() : undefined;
  }

  async finish(): Promise<void> {
    for (;;) {
      this.#check();
      this.#dispatch(true);
      if (this.#queue.length > 0) await this.#relieve();
      else if (this.#ownPending === 0 && this.#threads.every(({ sent }) => sent.length === 0)) return;
      else await this.#answer();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#failure ??= { error: new AtomicError('aborted', 'the work was given up') };
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    await Promise.all(this.#threads.splice(0).map(({ worker }) => worker.terminate()));
  }

  #check(): void {
    if (this.#failure !== null) throw this.#failure.error;
    this.#options.signal?.throwIfAborted();
  }

  /** Room in the queue: by doing an item here, or by waiting for a thread. */
  async #relieve(): Promise<void> {
    const alone = this.#threads.length === 0;
    const helps = alone || this.#options.help !== false;
    const at = helps ? this.#queue.findLastIndex(({ bytes }) => alone || bytes <= BIG_ITEM) : -1;
    const [own] = at < 0 ? [] : this.#queue.splice(at, 1);
    if (own === undefined) return await this.#answer();
    this.#queueBytes -= own.bytes;
    await this.#do(own);
    if (performance.now() > this.#sliceEnd) await this.#breathe();
  }

  /** Everything queued, on this thread; a promise only where something takes time or the loop needs a turn. */
  #here(): Promise<void> | undefined {
    const next = this.#queue.pop();
    if (next === undefined) return undefined;
    const { item, bytes } = next;
    this.#queueBytes -= bytes;
    const output = this.#run(item);
    if (output instanceof Promise) return this.#later(output, item);
    this.#options.each(output, item);
    return performance.now() > this.#sliceEnd ? this.#breathe() : undefined;
  }

  async #do({ item }: Item<K>): Promise<void> {
    const output = this.#run(item);
    if (output instanceof Promise) await this.#later(output, item);
    else this.#options.each(output, item);
  }

  async #later(output: Promise<Jobs[K]['output']>, item: Jobs[K]['item']): Promise<void> {
    this.#ownPending++;
    try {
      this.#options.each(await output, item);
    } catch (error) {
      this.#failure ??= { error };
      throw error;
    } finally {
      this.#ownPending--;
      this.#wake();
    }
  }

  /** Gives the event loop a turn: answers, signals and progress get through. */
  async #breathe(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.#sliceEnd = performance.now() + SLICE;
    this.#check();
  }

  /** Resolves when a thread has answered. */
  async #answer(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
    });
    this.#check();
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #dispatch(all: boolean): void {
    const depth = this.#options.room === undefined ? DEPTH.usual : DEPTH.small;
    while (this.#queue.length >= BATCH.items || this.#queueBytes >= BATCH.bytes || (all && this.#queue.length > 0)) {
      const idlest = this.#threads.reduce<Thread<K> | null>(
        (least, thread) => (least === null || thread.sent.length < least.sent.length ? thread : least),
        null,
      );
      if (idlest === null || idlest.sent.length >= depth) return;
      const batch: Item<K>[] = [];
      let bytes = 0;
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        batch.push(next);
        bytes += next.bytes;
        if (batch.length >= BATCH.items || bytes >= BATCH.bytes) break;
      }
      this.#queueBytes -= bytes;
      idlest.sent.push(batch);
      idlest.worker.postMessage(batch.map(({ item }) => item));
    }
  }

  #spawn(): void {
    this.#spawned = true;
    const cores = availableParallelism();
    const threads = this.#options.threads ?? (this.#options.help === false ? cores : cores - 1);
    const entry = workerEntry();
    if (entry === null) return;
    for (let i = 0; i < Math.min(threads, MAX_THREADS); i++) {
      const worker = new Worker(entry, {
        workerData: this.#start,
        resourceLimits: { maxOldGenerationSizeMb: HEAP, maxYoungGenerationSizeMb: 4 },
      });
      const thread: Thread<K> = { worker, sent: [], answered: false };
      worker.on('message', (answer: Answer<K>) => this.#take(thread, answer));
      worker.on('error', (error) => this.#lost(thread, error));
      this.#threads.push(thread);
    }
  }

  #take(thread: Thread<K>, answer: Answer<K>): void {
    thread.answered = true;
    const batch = thread.sent.shift() ?? [];
    try {
      if (this.#failure === null) {
        answer.outputs.forEach((output, i) => {
          const done = batch[i];
          if (done !== undefined) this.#options.each(output, done.item);
        });
        if (answer.error !== null) this.#failure = { error: errorFromData(answer.error) };
        else this.#dispatch(false);
      }
    } catch (error) {
      this.#failure ??= { error };
    }
    this.#wake();
  }

  /** A thread that never came to life (no memory, no more threads) is done without; one that dies later is a failure. */
  #lost(thread: Thread<K>, error: unknown): void {
    const at = this.#threads.indexOf(thread);
    if (at >= 0) this.#threads.splice(at, 1);
    if (thread.answered) this.#failure ??= { error };
    else {
      this.#queue.unshift(...thread.sent.flat());
      this.#queueBytes = this.#queue.reduce((sum, { bytes }) => sum + bytes, 0);
    }
    this.#wake();
  }
}

/** The thread's program: beside this file, or beside the bundle this file is part of; null when it was left out. */
function workerEntry(): URL | null {
  const source = import.meta.url.endsWith('.ts');
  const url = new URL(source ? './worker.ts' : './worker.cjs', import.meta.url);
  return source || existsSync(fileURLToPath(url)) ? url : null;
}
