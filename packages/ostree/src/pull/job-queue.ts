/** What there is to do, in two kinds: metadata first, because it tells which content there is. */
export type JobKind = 'metadata' | 'content';

export interface JobQueueOptions<Job> {
  /** Jobs under way at a time, and how many of them may be content. */
  parallel: number;
  parallelContent: number;
  do(job: Job): Promise<void> | undefined;
  /** The first failure: what is under way is to end soon. */
  failed(error: unknown): void;
}

/** Runs jobs that find further jobs, until none are left. */
export class JobQueue<Job> {
  readonly #options: JobQueueOptions<Job>;
  readonly #jobs: Record<JobKind, (Job | undefined)[]> = { metadata: [], content: [] };
  readonly #next: Record<JobKind, number> = { metadata: 0, content: 0 };
  readonly #running: Record<JobKind, number> = { metadata: 0, content: 0 };
  #failure: { error: unknown } | null = null;
  #settle: (() => void) | null = null;
  #pumping = false;
  done = 0;

  constructor(options: JobQueueOptions<Job>) {
    this.#options = options;
  }

  /** Jobs known so far, done or not. */
  get total(): number {
    return this.#jobs.metadata.length + this.#jobs.content.length;
  }

  add(kind: JobKind, job: Job): void {
    this.#jobs[kind].push(job);
    if (this.#settle !== null) this.#pump();
  }

  /** Resolves when all jobs are done; rejects with the first failure once nothing is under way any more. */
  async run(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#settle = resolve;
      this.#pump();
    });
    if (this.#failure !== null) throw this.#failure.error;
  }

  #take(): { kind: JobKind; job: Job } | null {
    for (const kind of ['metadata', 'content'] as const) {
      if (kind === 'content' && this.#running.content >= this.#options.parallelContent) continue;
      const job = this.#jobs[kind][this.#next[kind]];
      if (job === undefined) continue;
      // Not kept when it is done: there may be hundreds of thousands.
      this.#jobs[kind][this.#next[kind]] = undefined;
      this.#next[kind]++;
      return { kind, job };
    }
    return null;
  }

  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    const { metadata, content } = this.#running;
    let running = metadata + content;
    while (this.#failure === null && running < this.#options.parallel) {
      const taken = this.#take();
      if (taken === null) break;
      this.#start(taken.kind, taken.job);
      running = this.#running.metadata + this.#running.content;
    }
    this.#pumping = false;
    if (running === 0) this.#settle?.();
  }

  #start(kind: JobKind, job: Job): void {
    let result: Promise<void> | undefined;
    try {
      result = this.#options.do(job);
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (result === undefined) {
      this.done++;
      return;
    }
    this.#running[kind]++;
    const ended = () => {
      this.#running[kind]--;
      this.#pump();
    };
    result.then(
      () => {
        this.done++;
        ended();
      },
      (error: unknown) => {
        this.#fail(error);
        ended();
      },
    );
  }

  #fail(error: unknown): void {
    if (this.#failure !== null) return;
    this.#failure = { error };
    this.#options.failed(error);
  }
}
