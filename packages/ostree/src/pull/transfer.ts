import { AtomicError } from '../error.ts';
import { type Checksum, checksumBytes } from '../objects/checksum.ts';
import { type Commit, parseCommit } from '../objects/commit.ts';
import { parseDirTree } from '../objects/dirtree.ts';
import type { MetadataType } from '../objects/type.ts';
import { breather } from '../progress.ts';
import { verifyBindings } from '../repo/bindings.ts';
import { ObjectTable } from '../repo/object-table.ts';
import type { Repo } from '../repo/repo.ts';
import type { Transaction } from '../repo/transaction.ts';
import { checkNotOlder } from './commit-check.ts';
import { ContentWriter } from './content-writer.ts';
import type { DeltaTransfer } from './delta-transfer.ts';
import { JobQueue } from './job-queue.ts';
import { LocalSource } from './local-source.ts';
import type { TransferCounts } from './result.ts';
import type { ObjectSource } from './source.ts';
import type { TransferContext, TransferOptions, Wanted } from './transfer-options.ts';

type Job =
  | { type: 'commit'; checksum: Checksum; parents: number; wanted: readonly Wanted[]; given?: GivenCommit }
  | { type: 'dirtree'; checksum: Checksum; path: string }
  | { type: 'dirmeta' | 'file'; checksum: Checksum }
  | { type: 'task'; run: () => Promise<void> };

/** Bytes a commit may have whose size no summary tells. Real ones have at most a few million. */
const maxCommitSize = 16 * 1024 * 1024;

/** A commit object that came with a delta. */
interface GivenCommit {
  bytes: Buffer;
  detached: Buffer | null;
}

/**
 * Brings commits and all they need from a source into a transaction: metadata is walked breadth first and content
 * follows as soon as it is known; what is here already is skipped.
 */
export class Transfer {
  readonly counts: TransferCounts;
  readonly #repo: Repo;
  readonly #transaction: Transaction;
  readonly #options: TransferOptions;
  readonly #context: TransferContext;
  readonly #source: ObjectSource;
  readonly #writer: ContentWriter;
  readonly #queue: JobQueue<Job>;
  readonly #breathe: () => Promise<void> | undefined;
  readonly #seen = new ObjectTable<true>();
  /** Trees and where in the commit they are, when only parts of it are wanted. */
  readonly #seenAt = new Set<string>();
  readonly #commits = new Map<Checksum, number>();
  /** Commits that will be whole when everything here is done. */
  readonly #completed = new Set<Checksum>();
  readonly #olderThan: { checksum: Checksum; commit: Commit } | null;
  #reported = 0;

  constructor(repo: Repo, transaction: Transaction, options: TransferOptions, context: TransferContext) {
    this.#repo = repo;
    this.#transaction = transaction;
    this.#options = options;
    this.#context = context;
    this.counts = context.counts;
    this.#source = context.source;
    this.#breathe = breather(context.signal);
    this.#writer = new ContentWriter(transaction, {
      trusted: context.trustNetwork,
      bareUserOnly: options.bareUserOnlyFiles === true,
      signal: context.signal,
    });
    this.#queue = new JobQueue({
      parallel: this.#source.parallel,
      parallelContent: this.#source.parallelContent,
      do: (job) => this.#do(job),
      // Connections are closed, so what is under way ends promptly too.
      failed: () => this.#source[Symbol.dispose](),
    });
    const from = options.timestampCheckFrom;
    const checksum = from === undefined ? null : repo.resolveRev(from);
    this.#olderThan = checksum === null ? null : { checksum, commit: repo.loadCommit(checksum) };
  }

  async run(wanted: readonly Wanted[]): Promise<void> {
    const { deltas } = this.#context;
    await using writer = this.#writer;
    for (const checksum of new Set(wanted.map((one) => one.checksum))) {
      const group = wanted.filter((one) => one.checksum === checksum);
      if (deltas === null || this.#repo.commitState(checksum) === 'complete') this.#addCommit(checksum, group);
      else this.#queue.add('metadata', { type: 'task', run: () => this.#byDelta(deltas, checksum, group) });
    }
    await this.#queue.run();
    await writer.finish();
    if (this.#context.subpaths.all && this.#options.commitMetadataOnly !== true) {
      for (const checksum of this.#completed) this.#transaction.clearPartial(checksum);
    }
    this.#report(true);
  }

  #do(job: Job): Promise<void> | undefined {
    const pause = this.#breathe();
    if (pause !== undefined) return pause.then(() => this.#attempt(job));
    return this.#attempt(job);
  }

  #attempt(job: Job): Promise<void> | undefined {
    this.#report(false);
    switch (job.type) {
      case 'commit':
        return this.#commit(job);
      case 'dirtree': {
        const { checksum, path } = job;
        const loaded = this.#load('dirtree', checksum);
        if (!(loaded instanceof Promise)) return this.#walk(loaded, path);
        return loaded.then((bytes) => this.#walk(bytes, path));
      }
      case 'dirmeta': {
        const loaded = this.#load('dirmeta', job.checksum);
        return loaded instanceof Promise ? loaded.then(() => {}) : undefined;
      }
      case 'file':
        return this.#file(job.checksum);
      case 'task':
        return job.run();
    }
  }

  #report(last: boolean): void {
    const { progress, progressInterval = 100 } = this.#options;
    if (progress === undefined) return;
    const now = performance.now();
    if (!last && now - this.#reported < progressInterval) return;
    this.#reported = now;
    progress({
      phase: 'pull',
      done: this.#queue.done,
      total: this.#queue.total,
      bytes: this.#source.stats.bytes || undefined,
    });
  }

  // -- trees ---------------------------------------------------------------------------------------------------

  #walk(bytes: Buffer, path: string): undefined {
    const { subpaths } = this.#context;
    const tree = parseDirTree(bytes);
    for (const dir of tree.dirs) {
      const at = `${path}${dir.name}`;
      if (!subpaths.wants(at, true)) continue;
      this.#addObject('dirmeta', dir.meta);
      this.#addTree(dir.tree, `${at}/`);
    }
    for (const file of tree.files) {
      if (subpaths.wants(`${path}${file.name}`, false)) this.#addObject('file', file.checksum);
    }
    return undefined;
  }

  #addTree(checksum: Checksum, path: string): void {
    // With subpaths the same tree may be wanted in part here and whole there.
    if (this.#context.subpaths.all) {
      if (this.#seen.has('dirtree', checksum)) return;
      this.#seen.set('dirtree', checksum, true);
    } else {
      const key = `${checksum} ${path}`;
      if (this.#seenAt.has(key)) return;
      this.#seenAt.add(key);
    }
    this.#queue.add('metadata', { type: 'dirtree', checksum, path });
  }

  #addObject(type: 'dirmeta' | 'file', checksum: Checksum): void {
    if (this.#seen.has(type, checksum)) return;
    this.#seen.set(type, checksum, true);
    if (this.#transaction.hasObject(type, checksum)) return;
    this.#queue.add(type === 'file' ? 'content' : 'metadata', { type, checksum });
  }

  #file(checksum: Checksum): Promise<void> {
    const cache = this.#cacheWith('file', checksum);
    if (cache !== null) {
      this.counts.importedContent++;
      return this.#writer.local(cache, checksum, this.#context.trustCaches);
    }
    if (this.#source instanceof LocalSource) this.counts.importedContent++;
    else this.counts.fetchedContent++;
    return this.#source.content(this.#writer, checksum);
  }

  #cacheWith(type: MetadataType | 'file', checksum: Checksum): Repo | null {
    return this.#options.localCaches?.find((repo) => repo.hasObject(type, checksum)) ?? null;
  }

  /** A metadata object's bytes: what is here, or brought, verified and staged. */
  #load(type: 'dirtree' | 'dirmeta', checksum: Checksum): Buffer | Promise<Buffer> {
    if (this.#transaction.hasObject(type, checksum)) return this.#transaction.loadObject(type, checksum);
    const cache = this.#cacheWith(type, checksum);
    if (cache !== null) return this.#import(cache, type, checksum, this.#context.trustCaches);
    if (this.#source instanceof LocalSource) {
      return this.#import(this.#source.repo, type, checksum, this.#source.trusted);
    }
    return this.#fetch(type, checksum);
  }

  async #import(repo: Repo, type: MetadataType, checksum: Checksum, trusted: boolean): Promise<Buffer> {
    try {
      await this.#transaction.importFrom(repo, type, checksum, { trusted });
    } catch (error) {
      throw explain(type, checksum, error);
    }
    this.counts.importedMetadata++;
    return this.#transaction.loadObject(type, checksum);
  }

  async #fetch(type: MetadataType, checksum: Checksum): Promise<Buffer> {
    const bytes = await this.#source.metadata(type, checksum);
    if (bytes === null) throw this.#source.absent(type, checksum);
    this.counts.fetchedMetadata++;
    this.#write(type, checksum, bytes);
    return bytes;
  }

  #write(type: MetadataType, checksum: Checksum, bytes: Buffer): void {
    try {
      this.#transaction.writeMetadata(type, bytes, { expected: checksum });
    } catch (error) {
      throw explain(type, checksum, error);
    }
  }

  // -- commits -------------------------------------------------------------------------------------------------

  #addCommit(checksum: Checksum, wanted: readonly Wanted[], given?: GivenCommit): void {
    const { depth = 0 } = this.#options;
    this.#addHistory(checksum, depth === -1 ? Number.POSITIVE_INFINITY : depth, wanted, given);
  }

  #addHistory(checksum: Checksum, parents: number, wanted: readonly Wanted[], given?: GivenCommit): void {
    // A commit may be reached twice, once with more of its history to bring.
    if ((this.#commits.get(checksum) ?? -1) >= parents && wanted.length === 0) return;
    this.#commits.set(checksum, parents);
    this.#queue.add('metadata', { type: 'commit', checksum, parents, wanted, ...(given ? { given } : {}) });
  }

  async #commit(job: Extract<Job, { type: 'commit' }>): Promise<void> {
    const { checksum, wanted } = job;
    const transaction = this.#transaction;
    const state = this.#repo.commitState(checksum);
    const here = transaction.hasObject('commit', checksum);
    const found = await this.#commitBytes(job, here);
    if (found === null) return;
    const { bytes, trusted } = found;
    let commit: Commit;
    try {
      if (!here && !trusted) {
        const actual = checksumBytes(bytes);
        if (actual !== checksum) {
          throw new AtomicError(
            'corrupt',
            `Corrupted commit object; checksum expected='${checksum}' actual='${actual}'`,
          );
        }
      }
      commit = parseCommit(bytes);
    } catch (error) {
      throw explain('commit', checksum, error);
    }
    const detached = found.detached ?? (here ? this.#repo.readDetachedMetadata(checksum) : null);
    await this.#context.verifyCommit(checksum, bytes, detached, wanted);
    this.#check(checksum, commit, wanted);
    if (state !== 'complete') {
      // The mark comes before the commit object: without it the commit would pass for whole after a crash.
      transaction.markPartial(checksum);
      if (trusted && this.#source instanceof LocalSource) {
        // Shares the source's file, as everything that comes on trust.
        await transaction.importFrom(this.#source.repo, 'commit', checksum, { trusted });
      } else if (!here) this.#write('commit', checksum, bytes);
    }
    if (found.detached !== null && !found.detached.equals(this.#repo.readDetachedMetadata(checksum) ?? Buffer.of(0))) {
      transaction.writeDetached(checksum, found.detached);
    }
    this.#completed.add(checksum);
    if (state !== 'complete' && this.#options.commitMetadataOnly !== true && job.given === undefined) {
      this.#addObject('dirmeta', commit.meta);
      this.#addTree(commit.tree, '/');
    }
    if (job.parents > 0 && commit.parent !== null) this.#addHistory(commit.parent, job.parents - 1, []);
  }

  /** The commit object and what came of its detached metadata; null for a parent that is not there. */
  async #commitBytes(
    job: Extract<Job, { type: 'commit' }>,
    here: boolean,
  ): Promise<{ bytes: Buffer; detached: Buffer | null; trusted: boolean } | null> {
    const { checksum, wanted, given } = job;
    const cache = here ? null : this.#cacheWith('commit', checksum);
    if (cache !== null) {
      this.counts.importedMetadata++;
      const bytes = cache.loadObject('commit', checksum);
      return { bytes, detached: cache.readDetachedMetadata(checksum), trusted: false };
    }
    const source = this.#source;
    const size = wanted.find((one) => one.size !== undefined)?.size ?? maxCommitSize;
    // Detached metadata changes while its commit does not, so it is asked for even when the commit is here.
    const [detached, bytes] = await Promise.all([
      source.detachedMetadata(checksum),
      here
        ? this.#transaction.loadObject('commit', checksum)
        : (given?.bytes ?? source.metadata('commit', checksum, size)),
    ]);
    const local = source instanceof LocalSource;
    if (!local && detached !== null) this.counts.fetchedMetadata++;
    if (bytes !== null) {
      if (!here && given === undefined) {
        if (local) this.counts.importedMetadata++;
        else this.counts.fetchedMetadata++;
      }
      return { bytes, detached: detached ?? given?.detached ?? null, trusted: local && source.trusted };
    }
    // History may end early: a repository that was pruned still names the parents it no longer has.
    if (wanted.length > 0) throw source.absent('commit', checksum);
    if (this.#context.tombstones && !(await source.hasTombstone(checksum))) {
      throw source.absent('tombstone-commit', checksum);
    }
    return null;
  }

  #check(checksum: Checksum, commit: Commit, wanted: readonly Wanted[]): void {
    if (this.#options.disableVerifyBindings !== true) {
      const { collectionId } = this.#context;
      // Without a branch there is still a collection to be bound to.
      for (const branch of new Set(wanted.length === 0 ? [null] : wanted.map((one) => one.branch))) {
        try {
          verifyBindings(commit.metadata, { collectionId, ref: branch ?? undefined });
        } catch (error) {
          if (!(error instanceof AtomicError)) throw error;
          throw new AtomicError(error.code, `Commit ${checksum}: ${error.message}`, { cause: error });
        }
      }
    }
    if (this.#options.timestampCheck === true) {
      for (const { previous } of wanted) {
        if (previous === null || this.#repo.commitState(previous) === 'missing') continue;
        checkNotOlder({ checksum: previous, commit: this.#repo.loadCommit(previous) }, { checksum, commit });
      }
    }
    if (this.#olderThan !== null) checkNotOlder(this.#olderThan, { checksum, commit });
  }

  // -- deltas --------------------------------------------------------------------------------------------------

  /** Brings a commit by a delta where there is one, else by its objects. */
  async #byDelta(deltas: DeltaTransfer, to: Checksum, wanted: readonly Wanted[]): Promise<void> {
    const name = await deltas.find(to, wanted);
    const delta = name === null ? null : await deltas.fetchSuperblock(name, wanted);
    if (delta === null) {
      this.#addCommit(to, wanted);
      return;
    }
    const have = (type: MetadataType | 'file', checksum: Checksum) => this.#transaction.hasObject(type, checksum);
    const plan = deltas.plan(delta, have);
    if (deltas.dryRun) return;
    this.#addCommit(to, wanted, { bytes: delta.commit, detached: delta.commitMeta });
    for (const { type, checksum } of delta.fallbacks) {
      if (type !== 'file') {
        throw new AtomicError('corrupt', `Found metadata object as fallback: ${checksum}.${type}`);
      }
      if (!this.#transaction.hasObject('file', checksum)) deltas.counts.fetchedFallbacks++;
      this.#addObject('file', checksum);
    }
    let left = plan.length;
    // What the delta lacks (nothing, when it is honest) is fetched like any other object, so that whole means whole.
    const complete = () => {
      if (this.#options.commitMetadataOnly === true) return;
      const { tree, meta } = parseCommit(delta.commit);
      this.#addObject('dirmeta', meta);
      this.#addTree(tree, '/');
    };
    if (left === 0) complete();
    for (const part of plan) {
      const run = async () => {
        await deltas.apply(this.#transaction, delta, part);
        if (--left === 0) complete();
      };
      this.#queue.add('metadata', { type: 'task', run });
    }
  }
}

function explain(type: MetadataType, checksum: Checksum, error: unknown): unknown {
  if (!(error instanceof AtomicError) || error.code !== 'corrupt') return error;
  if (error.message.startsWith('Corrupted') || error.message.startsWith(checksum)) return error;
  return new AtomicError('corrupt', `${checksum}.${type}: ${error.message}`, { cause: error });
}
