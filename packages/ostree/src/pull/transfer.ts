import { AtomicError, corrupt } from '../error.ts';
import { asArray, asString } from '../gvariant/index.ts';
import { type Checksum, checksumBytes } from '../objects/checksum.ts';
import { type Commit, parseCommit } from '../objects/commit.ts';
import { parseDirTree } from '../objects/dirtree.ts';
import type { MetadataType } from '../objects/type.ts';
import { breather, type Progress } from '../progress.ts';
import type { BeginOptions, Repo } from '../repo/repo.ts';
import type { Transaction } from '../repo/transaction.ts';
import { abortError } from './abort.ts';
import type { ObjectSource, SourceStats } from './source.ts';

export interface PullResult extends SourceStats {
  /** What each requested ref (or checksum) resolved to. */
  commits: Map<string, Checksum>;
  /** Objects that were not here before, and how many of them were metadata and content. */
  objects: number;
  metadata: number;
  content: number;
  /** Bytes of content before compression. */
  contentBytes: number;
  seconds: number;
}

/** One commit to bring, and the ref here that is to point to it. */
export interface Wanted {
  /** What was asked for: a branch or a checksum. */
  name: string;
  checksum: Checksum;
  /** Branch the commit must be bound to, if it is bound at all. */
  branch: string | null;
  refspec: string | null;
}

export interface TransferOptions extends BeginOptions {
  /** How many parents to bring along; -1 for all. */
  depth?: number | undefined;
  commitMetadataOnly?: boolean | undefined;
  /** Refuse a commit older than the one the ref points to. */
  timestampCheck?: boolean | undefined;
  /** The remote's collection ID: commits must then be bound to it. */
  collectionId?: string | undefined;
  progress?: Progress | undefined;
}

type Job =
  | { type: 'commit'; checksum: Checksum; parents: number; wanted: readonly Wanted[] }
  | { type: 'dirtree' | 'dirmeta' | 'file'; checksum: Checksum };

/**
 * Brings commits and all they need from a source, in one transaction: metadata is walked breadth first and content
 * follows as soon as it is known; what is here already is skipped; the refs move last, once everything is durable.
 * Interrupted, it changes nothing that is visible, and the next run finds what was staged.
 */
export async function transfer(
  repo: Repo,
  source: ObjectSource,
  wanted: readonly Wanted[],
  options: TransferOptions,
): Promise<PullResult> {
  const { signal } = options;
  const started = performance.now();
  try {
    await using transaction = await repo.begin(options);
    const run = new Transfer(repo, source, transaction, options);
    await run.run(wanted);
    for (const { refspec, checksum } of wanted) if (refspec !== null) transaction.setRef(refspec, checksum);
    if (signal?.aborted) throw abortError(signal);
    options.progress?.({ phase: 'write', message: 'making objects durable' });
    const written = await transaction.commit();
    return {
      commits: new Map(wanted.map(({ name, checksum }) => [name, checksum])),
      objects: written.metadataWritten + written.contentWritten,
      metadata: written.metadataWritten,
      content: written.contentWritten,
      contentBytes: written.contentBytes,
      seconds: (performance.now() - started) / 1000,
      ...source.stats,
    };
  } catch (error) {
    if (signal?.aborted) throw abortError(signal);
    throw error;
  }
}

class Transfer {
  readonly #repo: Repo;
  readonly #source: ObjectSource;
  readonly #transaction: Transaction;
  readonly #options: TransferOptions;
  readonly #breathe: () => Promise<void> | undefined;
  readonly #metadata: Job[] = [];
  readonly #content: Job[] = [];
  readonly #seen = new Set<string>();
  readonly #commits = new Map<Checksum, number>();
  #metadataNext = 0;
  #contentNext = 0;
  #running = 0;
  #idle: (() => void)[] = [];
  #failed = false;
  #done = 0;
  #reported = 0;

  constructor(repo: Repo, source: ObjectSource, transaction: Transaction, options: TransferOptions) {
    this.#repo = repo;
    this.#source = source;
    this.#transaction = transaction;
    this.#options = options;
    this.#breathe = breather(options.signal);
  }

  async run(wanted: readonly Wanted[]): Promise<void> {
    const parents = this.#options.depth === -1 ? Number.POSITIVE_INFINITY : (this.#options.depth ?? 0);
    for (const checksum of new Set(wanted.map((one) => one.checksum))) {
      this.#addCommit(
        checksum,
        parents,
        wanted.filter((one) => one.checksum === checksum),
      );
    }
    const results = await Promise.allSettled(Array.from({ length: this.#source.parallel }, () => this.#work()));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
    this.#report(true);
  }

  #take(): Job | undefined {
    return this.#metadata[this.#metadataNext] !== undefined
      ? this.#metadata[this.#metadataNext++]
      : this.#content[this.#contentNext] !== undefined
        ? this.#content[this.#contentNext++]
        : undefined;
  }

  /** Takes jobs until there are none and nobody is left who could find more. */
  async #work(): Promise<void> {
    while (!this.#failed) {
      const job = this.#take();
      if (job === undefined) {
        if (this.#running === 0) return;
        await new Promise<void>((resolve) => this.#idle.push(resolve));
        continue;
      }
      this.#running++;
      try {
        await this.#breathe();
        await this.#do(job);
        this.#done++;
        this.#report(false);
      } catch (error) {
        // The first failure ends the run: connections are closed, so the others end promptly too.
        if (this.#failed) return;
        this.#failed = true;
        this.#source[Symbol.dispose]();
        throw error;
      } finally {
        this.#running--;
        for (const wake of this.#idle.splice(0)) wake();
      }
    }
  }

  #report(last: boolean): void {
    const now = performance.now();
    if (!last && now - this.#reported < 100) return;
    this.#reported = now;
    this.#options.progress?.({
      phase: 'pull',
      done: this.#done,
      total: this.#metadata.length + this.#content.length,
      bytes: this.#source.stats.bytes,
    });
  }

  #addCommit(checksum: Checksum, parents: number, wanted: readonly Wanted[]): void {
    // A commit may be reached twice, once with more of its history to bring.
    if ((this.#commits.get(checksum) ?? -1) >= parents && wanted.length === 0) return;
    this.#commits.set(checksum, parents);
    this.#metadata.push({ type: 'commit', checksum, parents, wanted });
  }

  #add(type: 'dirtree' | 'dirmeta' | 'file', checksum: Checksum): void {
    const key = checksum + type;
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    if (type === 'dirtree') this.#metadata.push({ type, checksum });
    else if (!this.#transaction.hasObject(type, checksum)) {
      (type === 'file' ? this.#content : this.#metadata).push({ type, checksum });
    }
  }

  async #do(job: Job): Promise<void> {
    switch (job.type) {
      case 'commit':
        return await this.#commit(job.checksum, job.parents, job.wanted);
      case 'dirtree': {
        // A tree that is here may still lack parts (an interrupted pull), so it is walked all the same.
        const tree = parseDirTree(await this.#load('dirtree', job.checksum));
        for (const dir of tree.dirs) {
          this.#add('dirmeta', dir.meta);
          this.#add('dirtree', dir.tree);
        }
        for (const file of tree.files) this.#add('file', file.checksum);
        return;
      }
      case 'dirmeta':
        await this.#load('dirmeta', job.checksum);
        return;
      case 'file':
        return await this.#source.content(this.#transaction, job.checksum);
    }
  }

  /** A metadata object's bytes: what is here, or fetched, verified and staged. */
  async #load(type: MetadataType, checksum: Checksum): Promise<Buffer> {
    if (this.#transaction.hasObject(type, checksum)) return this.#transaction.loadObject(type, checksum);
    const bytes = await this.#source.metadata(type, checksum);
    if (bytes === null) throw this.#absent(type, checksum);
    try {
      this.#transaction.writeMetadata(type, bytes, { expected: checksum });
    } catch (error) {
      throw this.#corrupt(type, checksum, error);
    }
    return bytes;
  }

  #absent(type: MetadataType, checksum: Checksum): AtomicError {
    return new AtomicError('not-found', `object ${checksum}.${type} is not in ${this.#source.label}`, {
      hint: 'the repository there is incomplete; nothing was changed here',
    });
  }

  #corrupt(type: MetadataType, checksum: Checksum, error: unknown): unknown {
    if (!(error instanceof AtomicError) || error.code !== 'corrupt') return error;
    return corrupt(`object ${checksum}.${type} from ${this.#source.label} is corrupt: ${error.message}`, error);
  }

  async #commit(checksum: Checksum, parents: number, wanted: readonly Wanted[]): Promise<void> {
    const transaction = this.#transaction;
    const state = this.#repo.commitState(checksum);
    // Detached metadata changes while its commit does not, so it is asked for even when the commit is here.
    const detached = wanted.length > 0 || state === 'missing' ? await this.#source.detachedMetadata(checksum) : null;
    let bytes: Buffer;
    if (transaction.hasObject('commit', checksum)) bytes = transaction.loadObject('commit', checksum);
    else {
      const fetched = await this.#source.metadata('commit', checksum);
      if (fetched === null) {
        // History may end early: a repository that was pruned still names the parents it no longer has.
        if (wanted.length === 0) return;
        throw this.#absent('commit', checksum);
      }
      bytes = fetched;
    }
    let commit: Commit;
    try {
      const actual = checksumBytes(bytes);
      if (actual !== checksum) throw corrupt(`checksum expected='${checksum}' actual='${actual}'`);
      commit = parseCommit(bytes);
    } catch (error) {
      throw this.#corrupt('commit', checksum, error);
    }
    for (const want of wanted) this.#checkWanted(want, commit);
    if (state !== 'complete') {
      // The mark comes before the commit object: without it the commit would pass for whole after a crash.
      transaction.markPartial(checksum);
      transaction.writeMetadata('commit', bytes, { expected: checksum });
    }
    if (detached !== null) transaction.writeDetached(checksum, detached);
    if (this.#options.commitMetadataOnly !== true && state !== 'complete') {
      this.#add('dirmeta', commit.meta);
      this.#add('dirtree', commit.tree);
      transaction.clearPartial(checksum);
    }
    if (parents > 0 && commit.parent !== null) this.#addCommit(commit.parent, parents - 1, []);
  }

  #checkWanted(want: Wanted, commit: Commit): void {
    const { branch, refspec } = want;
    const collectionId = this.#options.collectionId;
    if (branch !== null) {
      const bound = commit.metadata.get('ostree.ref-binding');
      const names = bound === undefined ? undefined : asArray(bound.value).map(asString);
      if (names !== undefined ? !names.includes(branch) : collectionId !== undefined) {
        throw new AtomicError(
          'invalid',
          `Commit ${want.checksum}: Commit has no requested ref ‘${branch}’ in ref binding metadata (${names === undefined ? 'none' : names.map((name) => `‘${name}’`).join(', ')})`,
          { hint: 'the server offers the commit of one branch as another' },
        );
      }
      const collection = commit.metadata.get('ostree.collection-binding')?.value;
      if (collectionId !== undefined && collection !== collectionId) {
        throw new AtomicError(
          'invalid',
          `Commit ${want.checksum}: Commit has collection ID ‘${typeof collection === 'string' ? collection : ''}’ in collection binding metadata, while the remote it came from has collection ID ‘${collectionId}’`,
        );
      }
    }
    const previous = refspec === null ? null : this.#repo.readRef(refspec);
    if (this.#options.timestampCheck !== true || previous === null) return;
    if (this.#repo.commitState(previous) === 'missing') return;
    const before = this.#repo.loadCommit(previous).timestamp;
    if (commit.timestamp < before) {
      throw new AtomicError(
        'invalid',
        `Upgrade target revision '${want.checksum}' with timestamp '${new Date(commit.timestamp * 1000).toISOString()}' is chronologically older than current revision '${previous}' with timestamp '${new Date(before * 1000).toISOString()}'`,
        { hint: 'use --allow-downgrade to permit it' },
      );
    }
  }
}
