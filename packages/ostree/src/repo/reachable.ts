import { AtomicError } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import { type Commit, parseCommit } from '../objects/commit.ts';
import { visitDirTree } from '../objects/dirtree-links.ts';
import type { ObjectType } from '../objects/type.ts';
import type { Repo } from './repo.ts';

/** Objects by kind, as a compact set: one string a kind and checksum. */
export type ObjectSet = Set<string>;

/** How an {@link ObjectSet} names an object. */
export const objectKey = (type: ObjectType, checksum: Checksum): string => `${checksum}.${type}`;

/** Collects what commits reach. Objects that are missing are passed over; damaged ones throw `corrupt`. */
export class Reach {
  // A set for each type: checksums need not be joined with a type for every look-up.
  readonly #sets = new Map<ObjectType, Set<Checksum>>();
  readonly #commits = this.#set('commit');
  readonly #dirtrees = this.#set('dirtree');
  readonly #dirmetas = this.#set('dirmeta');
  readonly #files = this.#set('file');
  readonly #repo: Repo;
  readonly #commitsOnly: boolean;

  constructor(repo: Repo, options: { commitsOnly?: boolean | undefined } = {}) {
    this.#repo = repo;
    this.#commitsOnly = options.commitsOnly === true;
  }

  #set(type: ObjectType): Set<Checksum> {
    const set = new Set<Checksum>();
    this.#sets.set(type, set);
    return set;
  }

  has(type: ObjectType, checksum: Checksum): boolean {
    return this.#sets.get(type)?.has(checksum) === true;
  }

  get size(): number {
    let size = 0;
    for (const set of this.#sets.values()) size += set.size;
    return size;
  }

  /** All objects that were reached. */
  *objects(): Generator<{ type: ObjectType; checksum: Checksum }> {
    for (const [type, set] of this.#sets) for (const checksum of set) yield { type, checksum };
  }

  /** Adds a commit and so many of its parents (-1: all), as far as they are there. */
  addHistory(start: Checksum, depth: number): void {
    let next: Checksum | null = start;
    for (let left = depth; next !== null; left--) {
      const commit: Commit | null = this.addCommit(next);
      if (left === 0) return; // a negative depth never gets here: all the parents
      next = commit?.parent ?? null;
    }
  }

  /** A commit as it is, not added; null when it is missing. */
  peekCommit(checksum: Checksum): Commit | null {
    const bytes = this.#load('commit', checksum);
    return bytes === null ? null : parseCommit(bytes);
  }

  /** Adds a commit with its trees and files; returns it, or null when it is missing. */
  addCommit(checksum: Checksum): Commit | null {
    const bytes = this.#load('commit', checksum);
    if (bytes === null) return null;
    const commit = parseCommit(bytes);
    if (this.#commits.has(checksum)) return commit;
    this.#commits.add(checksum);
    if (!this.#commitsOnly) {
      this.#dirmetas.add(commit.meta);
      this.#addTree(commit.tree);
    }
    return commit;
  }

  #addTree(root: Checksum): void {
    const dirtrees = this.#dirtrees;
    const dirmetas = this.#dirmetas;
    const files = this.#files;
    const pending = [root];
    const visitor = {
      file: (checksum: Checksum) => {
        files.add(checksum);
      },
      dir: (tree: Checksum, meta: Checksum) => {
        dirmetas.add(meta);
        if (!dirtrees.has(tree)) pending.push(tree);
      },
    };
    for (let tree = pending.pop(); tree !== undefined; tree = pending.pop()) {
      if (dirtrees.has(tree)) continue;
      dirtrees.add(tree);
      const bytes = this.#load('dirtree', tree);
      if (bytes !== null) visitDirTree(bytes, visitor);
    }
  }

  #load(type: 'commit' | 'dirtree', checksum: Checksum): Buffer | null {
    try {
      return this.#repo.loadObject(type, checksum);
    } catch (error) {
      if (error instanceof AtomicError && error.code === 'not-found') return null;
      throw error;
    }
  }
}
