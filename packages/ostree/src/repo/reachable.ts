import { AtomicError } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import { type Commit, parseCommit } from '../objects/commit.ts';
import { visitDirTree } from '../objects/dirtree-links.ts';
import type { ObjectType } from '../objects/type.ts';
import { digestText, hexText } from './object-table.ts';
import type { Repo } from './repo.ts';

/** A text that names an object. */
export const objectKey = (type: ObjectType, checksum: Checksum): string => `${checksum}.${type}`;

/** Collects what commits reach. Objects that are missing are passed over; damaged ones throw `corrupt`. */
export class Reach {
  // A set for each type, of digests as text: made in one step from the bytes of a tree, where most of them are met again
  // and again.
  readonly #sets = new Map<ObjectType, Set<string>>();
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

  #set(type: ObjectType): Set<string> {
    const set = new Set<string>();
    this.#sets.set(type, set);
    return set;
  }

  has(type: ObjectType, checksum: Checksum): boolean {
    return this.#sets.get(type)?.has(digestText(checksum)) === true;
  }

  get size(): number {
    let size = 0;
    for (const set of this.#sets.values()) size += set.size;
    return size;
  }

  /** All objects that were reached. */
  *objects(): Generator<{ type: ObjectType; checksum: Checksum }> {
    for (const [type, set] of this.#sets) for (const digest of set) yield { type, checksum: hexText(digest) };
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
    const digest = digestText(checksum);
    if (this.#commits.has(digest)) return commit;
    this.#commits.add(digest);
    if (!this.#commitsOnly) {
      this.#dirmetas.add(digestText(commit.meta));
      this.#addTree(commit.tree);
    }
    return commit;
  }

  #addTree(root: Checksum): void {
    const dirtrees = this.#dirtrees;
    const dirmetas = this.#dirmetas;
    const files = this.#files;
    const pending = [digestText(root)];
    for (let tree = pending.pop(); tree !== undefined; tree = pending.pop()) {
      if (dirtrees.has(tree)) continue;
      dirtrees.add(tree);
      const bytes = this.#load('dirtree', hexText(tree));
      if (bytes === null) continue;
      visitDirTree(bytes, {
        file: (at) => {
          files.add(bytes.toString('latin1', at, at + 32));
        },
        dir: (at) => {
          const child = bytes.toString('latin1', at, at + 32);
          dirmetas.add(bytes.toString('latin1', at + 32, at + 64));
          if (!dirtrees.has(child)) pending.push(child);
        },
      });
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
