import { rmSync } from 'node:fs';
import { type Checksum, checksumBytes } from '../objects/checksum.ts';
import { type Commit, parseCommit } from '../objects/commit.ts';
import { type DirTree, parseDirTree } from '../objects/dirtree.ts';
import type { MetadataType, ObjectType } from '../objects/type.ts';
import { breather, type Progress } from '../progress.ts';
import { partialReason, setPartial } from '../repo/commit-state.ts';
import { deleteObject, enableTombstones } from '../repo/delete-object.ts';
import { ObjectTable } from '../repo/object-table.ts';
import { objectKey } from '../repo/reachable.ts';
import type { BeginOptions, Repo } from '../repo/repo.ts';
import { commitsBeginning } from '../repo/resolve-rev.ts';
import type { Verdict } from '../repo/verify-object.ts';
import { verifyObject } from '../repo/verify-object.ts';
import { startWork } from '../workers/work.ts';
import { checkBackRefs, checkRefs } from './check-refs.ts';
import { findOwners } from './owners.ts';

/** Something wrong with a repository. `message` is in stock's words. */
export interface FsckProblem {
  /** `ref`: a ref's commit cannot be had; `binding`: refs and commits contradict each other. */
  kind: 'missing' | 'corrupt' | 'ref' | 'binding';
  type: ObjectType;
  checksum: Checksum;
  message: string;
  /** The whole commits that the object belongs to. */
  commits: Checksum[];
}

/** What happens while {@link fsck} runs, in order. */
export type FsckEvent =
  | { kind: 'refs' | 'collections' | 'commits' }
  /** The content of so many commits is looked at. */
  | { kind: 'content'; commits: number }
  | { kind: 'problem'; problem: FsckProblem }
  /** A commit was noted as partial, for objects of it are gone. */
  | { kind: 'partial'; commit: Checksum }
  /** A commit whose parent is missing was replaced by a tombstone. */
  | { kind: 'tombstone'; commit: Checksum };

export interface FsckOptions extends BeginOptions {
  progress?: Progress | undefined;
  /** Told of everything as it happens. */
  onEvent?: ((event: FsckEvent) => void) | undefined;
  /** Stop at the first damaged object. Missing ones are collected all the same. */
  stop?: boolean | undefined;
  /** Delete damaged objects. */
  delete?: boolean | undefined;
  /** Note commits as partial whose objects are missing or were deleted. */
  mark?: boolean | undefined;
  /** Replace commits whose parent is missing by tombstones. */
  addTombstones?: boolean | undefined;
  /** Check that commits name the refs that point to them. */
  verifyBindings?: boolean | undefined;
  /** Check that the refs which commits name point to them. */
  verifyBackRefs?: boolean | undefined;
  /** Threads to use besides this one; see the worker pool. */
  threads?: number | undefined;
}

export interface FsckResult {
  /** Whole commits: those whose content was checked. */
  commits: number;
  /** Commits known to be incomplete (interrupted or partial pulls): not checked, not a fault. */
  partial: number;
  /** Of these, the ones a former fsck found incomplete. */
  fsckPartial: number;
  objects: number;
  problems: FsckProblem[];
  /** Why it went no further, if it did not: always the last problem's message. */
  fatal: string | null;
}

/**
 * Verifies a repository as libostree does: every ref has its commit, and every object that whole commits reach is
 * present, readable, valid and of the checksum it is named for. Damage is no error: it is in the result.
 */
export async function fsck(repo: Repo, options: FsckOptions = {}): Promise<FsckResult> {
  const writes = options.mark || options.delete || options.addTombstones;
  // Against a prune that runs at the same time: what it takes away would look like damage.
  using _lock = writes && repo.writable ? await repo.lock('shared', options) : null;
  return await new Checker(repo, options).run();
}

class Checker {
  readonly #repo: Repo;
  readonly #options: FsckOptions;
  readonly #result: FsckResult = { commits: 0, partial: 0, fsckPartial: 0, objects: 0, problems: [], fatal: null };
  readonly #seen = new ObjectTable<true>();
  readonly #found: FsckProblem[] = [];
  #stopped = false;

  constructor(repo: Repo, options: FsckOptions) {
    this.#repo = repo;
    this.#options = options;
  }

  async run(): Promise<FsckResult> {
    const options = { ...this.#options, verifyBindings: this.#options.verifyBindings || this.#options.verifyBackRefs };
    const tell = (event: FsckEvent) => this.#options.onEvent?.(event);
    for (const problem of checkRefs(this.#repo, options, tell)) if (this.#note(problem)) return this.#result;
    tell({ kind: 'commits' });
    const whole: [Checksum, Commit | null][] = [];
    const orphans: Checksum[] = [];
    for (const checksum of commitsBeginning(this.#repo, '')) {
      const commit = this.#readCommit(checksum);
      if (commit !== null && this.#options.verifyBackRefs) {
        const problem = checkBackRefs(this.#repo, checksum, commit);
        if (problem !== null && this.#note(problem)) return this.#result;
      }
      if (commit?.parent && !this.#repo.hasObject('commit', commit.parent)) orphans.push(checksum);
      const reason = partialReason(this.#repo, checksum);
      if (reason === null) whole.push([checksum, commit]);
      else this.#result.partial++;
      if (reason === 'fsck') this.#result.fsckPartial++;
    }
    this.#result.commits = whole.length;
    tell({ kind: 'content', commits: whole.length });
    await this.#checkContent(whole);
    this.#report(whole.flatMap(([checksum, commit]) => (commit === null ? [] : [[checksum, commit]])));
    if (this.#result.fatal === null && this.#options.addTombstones) this.#addTombstones(orphans);
    return this.#result;
  }

  /** Adds a problem and tells of it; true when it ends the check. */
  #note(problem: FsckProblem): boolean {
    this.#result.problems.push(problem);
    const fatal =
      problem.kind === 'ref' ||
      problem.kind === 'binding' ||
      (problem.kind === 'corrupt' && this.#options.stop === true && this.#options.delete !== true);
    if (fatal) this.#result.fatal = problem.message;
    else this.#options.onEvent?.({ kind: 'problem', problem });
    return fatal;
  }

  /** A commit, or null for one that cannot be read: its verification says why. */
  #readCommit(checksum: Checksum): Commit | null {
    try {
      return parseCommit(this.#repo.loadObject('commit', checksum));
    } catch {
      return null;
    }
  }

  /** Content objects go to the worker threads; the metadata that leads to them is verified here on the way. */
  async #checkContent(commits: [Checksum, Commit | null][]): Promise<void> {
    const { signal, progress } = this.#options;
    const pause = breather(signal);
    await using work = await startWork(
      'verify',
      { repo: this.#repo.path },
      {
        signal,
        threads: this.#options.threads,
        each: (verdict, { type, checksum }) => {
          this.#result.objects++;
          this.#judge(type, checksum, verdict);
        },
      },
    );
    const pending: Checksum[] = [];
    const report = () =>
      progress?.({ phase: 'fsck objects', done: this.#result.objects, total: Math.max(this.#seen.size, 1) });
    for (const [checksum, commit] of commits) {
      if (this.#stopped) break;
      this.#verify('commit', checksum);
      if (commit === null) continue;
      this.#verify('dirmeta', commit.meta);
      pending.push(commit.tree);
      for (let tree = pending.pop(); tree !== undefined && !this.#stopped; tree = pending.pop()) {
        const listing = this.#verifyTree(tree);
        for (const dir of listing?.dirs ?? []) {
          this.#verify('dirmeta', dir.meta);
          pending.push(dir.tree);
        }
        for (const file of listing?.files ?? []) {
          if (!this.#isNew('file', file.checksum)) continue;
          const wait = work.push({ type: 'file', checksum: file.checksum }, GUESSED_SIZE);
          if (wait !== undefined) await wait;
          if (this.#stopped) break;
        }
        const turn = pause();
        if (turn !== undefined) {
          await turn;
          report();
        }
      }
    }
    if (!this.#stopped) await work.finish();
    report();
  }

  #isNew(type: ObjectType, checksum: Checksum): boolean {
    if (this.#seen.has(type, checksum)) return false;
    this.#seen.set(type, checksum, true);
    return true;
  }

  #verify(type: MetadataType, checksum: Checksum): void {
    if (!this.#isNew(type, checksum)) return;
    this.#result.objects++;
    const verdict = verifyObject(this.#repo, type, checksum);
    if (!(verdict instanceof Promise)) this.#judge(type, checksum, verdict);
  }

  /** Verifies a dirtree; what it lists, unless that was seen before or cannot be known. */
  #verifyTree(checksum: Checksum): DirTree | null {
    if (!this.#isNew('dirtree', checksum)) return null;
    this.#result.objects++;
    try {
      const bytes = this.#repo.loadObject('dirtree', checksum);
      if (checksumBytes(bytes) === checksum) return parseDirTree(bytes);
    } catch {
      // Judged below, with its reason.
    }
    const verdict = verifyObject(this.#repo, 'dirtree', checksum);
    if (!(verdict instanceof Promise)) this.#judge('dirtree', checksum, verdict);
    return null;
  }

  #judge(type: ObjectType, checksum: Checksum, verdict: Verdict): void {
    if (verdict.ok) return;
    const kind = verdict.missing ? 'missing' : 'corrupt';
    this.#found.push({ kind, type, checksum, message: verdict.message, commits: [] });
    if (kind === 'corrupt' && this.#options.stop && !this.#options.delete) this.#stopped = true;
  }

  /** Tells of the objects' problems with the commits they belong to, and does what was asked about them. */
  #report(commits: [Checksum, Commit][]): void {
    const owners = findOwners(this.#repo, commits, this.#found);
    const broken = new Set<Checksum>();
    for (const found of this.#found) {
      const { type, checksum, kind } = found;
      const list = owners.get(objectKey(type, checksum)) ?? [];
      const listed = list.join(', ');
      const message =
        kind === 'missing'
          ? `Object missing in commits ${listed}: ${checksum}.${type}`
          : `In commits ${listed}: ${found.message}`;
      if (this.#note({ ...found, message, commits: list })) return;
      if (kind === 'corrupt') {
        if (!this.#options.delete) continue;
        rmSync(this.#repo.objectPath(type, checksum), { force: true });
      }
      if (type === 'commit' || !this.#options.mark || !this.#repo.writable) continue;
      for (const commit of list) {
        if (broken.has(commit)) continue;
        broken.add(commit);
        setPartial(this.#repo, commit, 'fsck');
        this.#options.onEvent?.({ kind: 'partial', commit });
      }
    }
  }

  #addTombstones(commits: Checksum[]): void {
    if (commits.length > 0) enableTombstones(this.#repo);
    for (const commit of commits) {
      this.#options.onEvent?.({ kind: 'tombstone', commit });
      deleteObject(this.#repo, 'commit', commit);
    }
  }
}

/** About what a file of a system tree weighs, in bytes; its real size is not worth a system call here. */
const GUESSED_SIZE = 30_000;
