import { closeSync, fsyncSync, lstatSync, mkdirSync, openSync, renameSync, rmSync } from 'node:fs';
import { threadId } from 'node:worker_threads';
import { errnoCode } from '@atomic/linux';
import { AtomicError } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import { loosePath, type ObjectType } from '../objects/type.ts';
import type { RepoMode } from './mode.ts';

/** Where and how a transaction's objects are written: plain data, so that a worker thread can have it too. */
export interface StoreTarget {
  /** The repository's folder, absolute. */
  repo: string;
  mode: RepoMode;
  /** The transaction's staging folder. */
  stageDir: string;
  /** `[archive] zlib-level`. */
  zlibLevel: number;
  /** `[core] per-object-fsync`: flush each object as it is written, for disks that a late syncfs would choke. */
  fsyncObjects: boolean;
  /** False where nobody writes content: `bare-split-xattrs` is a format to read. */
  takesContent: boolean;
}

/** What became of one content object. */
export interface Stored {
  checksum: Checksum;
  /** Bytes of content, uncompressed; 0 for a symlink. */
  size: number;
  /** False when the repository (or the staging folder) had it already. */
  isNew: boolean;
}

let serial = 0;

/** Puts whole objects into a staging folder. Synchronous, and safe to use from several threads at once. */
export class Stager {
  readonly target: StoreTarget;
  readonly #archive: boolean;

  constructor(target: StoreTarget) {
    this.target = target;
    this.#archive = target.mode === 'archive';
  }

  objectPath(type: ObjectType, checksum: Checksum): string {
    return `${this.target.repo}/objects/${loosePath(type, checksum, this.#archive)}`;
  }

  stagedPath(type: ObjectType, checksum: Checksum): string {
    return `${this.target.stageDir}/${loosePath(type, checksum, this.#archive)}`;
  }

  /** Whether the repository or the staging folder holds the object. */
  has(type: ObjectType, checksum: Checksum): boolean {
    const path = loosePath(type, checksum, this.#archive);
    return exists(`${this.target.repo}/objects/${path}`) || exists(`${this.target.stageDir}/${path}`);
  }

  /** A path in the staging folder that nobody else uses. */
  aside(): string {
    return `${this.target.stageDir}/tmp-${process.pid}-${threadId}-${serial++}`;
  }

  /** Writes an object under a temporary name and renames it: under its own name there are only whole objects. */
  place(type: ObjectType, checksum: Checksum, write: (path: string) => void): void {
    if (type === 'file' && !this.target.takesContent)
      throw new AtomicError('unsupported', 'Writing content object: Not allowed due to repo mode');
    const aside = this.aside();
    try {
      write(aside);
      this.adopt(type, checksum, aside);
    } catch (error) {
      rmSync(aside, { force: true });
      throw error;
    }
  }

  /** Gives a whole object written at `aside` its name. */
  adopt(type: ObjectType, checksum: Checksum, aside: string): void {
    if (this.target.fsyncObjects && !lstatSync(aside).isSymbolicLink()) fsyncFile(aside);
    this.named(this.stagedPath(type, checksum), (path) => renameSync(aside, path));
  }

  /** Runs `make` on a path in the staging folder, making its `XX` folder first when that turns out to be missing. */
  named(path: string, make: (path: string) => void): void {
    try {
      make(path);
    } catch (error) {
      const folder = path.slice(0, path.lastIndexOf('/'));
      if (errnoCode(error) !== 'ENOENT' || exists(folder)) throw error;
      mkdirSync(folder, { recursive: true });
      make(path);
    }
  }
}

const exists = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined;

function fsyncFile(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
