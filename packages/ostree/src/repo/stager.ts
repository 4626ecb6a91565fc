import { closeSync, fsyncSync, linkSync, lstatSync, mkdirSync, openSync, renameSync, rmSync } from 'node:fs';
import { threadId } from 'node:worker_threads';
import { errnoCode } from '@atomic/linux';
import { AtomicError } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import { loosePath, type ObjectType } from '../objects/type.ts';
import type { RepoMode } from './mode.ts';
import { NumberedFiles } from './object-table.ts';
import { PayloadLinks } from './payload-link.ts';
import { NEW_OBJECTS } from './staging.ts';

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
  /**
   * Whether objects get their names in the staging folder, so that a later run finds what an interrupted one left.
   * Without, one rename(2) less: they lie there under names of no meaning, which whoever stages them remembers.
   */
  resumable: boolean;
  /** From how many bytes on files of the same content are to share blocks (`[core] payload-link-threshold`), or null. */
  payloadThreshold: number | null;
}

/** What became of one content object. */
export interface Stored {
  checksum: Checksum;
  /** Bytes of content, uncompressed; 0 for a symlink. */
  size: number;
  /** False when the repository (or the staging folder) had it already. */
  isNew: boolean;
  /** Its file name in a staging folder that is not resumable. */
  aside?: string | undefined;
}

let serial = 0;

/** Puts whole objects into a staging folder. Synchronous, and safe to use from several threads at once. */
export class Stager {
  readonly target: StoreTarget;
  readonly #archive: boolean;
  readonly #payloads: PayloadLinks | null;
  #hasFolder = false;
  /** What this stager knows to lie in a folder that is not resumable: file names by object. */
  readonly unnamed = new NumberedFiles();
  /** Objects are written where they have their names; see {@link NEW_OBJECTS}. */
  readonly #inPlace: boolean;
  readonly #beside: ReadonlySet<Stager>;

  /** `beside`: those that write to the same repository meanwhile, which this one joins; see {@link linkTwin}. */
  constructor(target: StoreTarget, beside: Set<Stager> = new Set()) {
    this.target = target;
    this.#beside = beside.add(this);
    this.#inPlace = target.resumable && target.payloadThreshold === null;
    this.#archive = target.mode === 'archive';
    this.#payloads = target.payloadThreshold === null ? null : new PayloadLinks(this, target.payloadThreshold);
  }

  objectPath(type: ObjectType, checksum: Checksum): string {
    return `${this.target.repo}/objects/${loosePath(type, checksum, this.#archive)}`;
  }

  /** Where a staged object lies. */
  stagedPath(type: ObjectType, checksum: Checksum): string {
    const unnamed = this.target.resumable ? undefined : this.unnamed.get(type, checksum);
    return `${this.target.stageDir}/${unnamed ?? `${NEW_OBJECTS}/${loosePath(type, checksum, this.#archive)}`}`;
  }

  /** Whether the repository or the staging folder holds the object. */
  has(type: ObjectType, checksum: Checksum): boolean {
    if (exists(this.objectPath(type, checksum))) return true;
    return this.target.resumable
      ? exists(this.stagedPath(type, checksum))
      : this.unnamed.get(type, checksum) !== undefined;
  }

  /** A path below the staging folder that nobody else uses: each thread has a folder, or all would wait for its lock. */
  aside(): string {
    const folder = `${this.target.stageDir}/tmp-${process.pid}-${threadId}`;
    if (!this.#hasFolder) mkdirSync(folder, { recursive: true });
    this.#hasFolder = true;
    return `${folder}/${serial++}`;
  }

  /**
   * Writes an object. `write` makes the file anew, and last of all what {@link isFinished} looks for; else the object
   * is written at {@link aside} and adopted.
   */
  place(type: ObjectType, checksum: Checksum, write: (path: string) => void): void {
    if (type === 'file' && !this.target.takesContent)
      throw new AtomicError('unsupported', 'Writing content object: Not allowed due to repo mode');
    if (this.#inPlace && this.#writeInPlace(this.stagedPath(type, checksum), write)) return;
    if (type === 'file' && this.linkTwin(checksum)) return;
    const aside = this.aside();
    try {
      write(aside);
      this.adopt(type, checksum, aside);
    } catch (error) {
      rmSync(aside, { force: true });
      throw error;
    }
  }

  /**
   * Takes a content object that another has staged, by a hard link: each transaction goes on having all it needs, and
   * what several have is on the disk once. Returns false where there is none.
   */
  linkTwin(checksum: Checksum): boolean {
    if (this.target.resumable) return false;
    for (const { target, unnamed } of this.#beside) {
      const name = unnamed.get('file', checksum);
      if (name === undefined) continue;
      const aside = this.aside();
      try {
        linkSync(`${target.stageDir}/${name}`, aside);
      } catch {
        // It was given up meanwhile, or has as many links as can be: it is written again.
        continue;
      }
      this.adopt('file', checksum, aside);
      return true;
    }
    return false;
  }

  /** Returns false when there is something already. */
  #writeInPlace(path: string, write: (path: string) => void): boolean {
    try {
      this.named(path, write);
      if (this.target.fsyncObjects && !lstatSync(path).isSymbolicLink()) fsyncFile(path);
      return true;
    } catch (error) {
      if (errnoCode(error) === 'EEXIST') return false;
      rmSync(path, { force: true });
      throw error;
    }
  }

  /** Gives a whole object written at `aside` its name. */
  adopt(type: ObjectType, checksum: Checksum, aside: string): void {
    const payload = type === 'file' ? (this.#payloads?.share(aside) ?? null) : null;
    if (this.target.fsyncObjects && !lstatSync(aside).isSymbolicLink()) fsyncFile(aside);
    if (!this.target.resumable) {
      this.unnamed.set(type, checksum, aside.slice(this.target.stageDir.length + 1));
      return;
    }
    this.named(this.stagedPath(type, checksum), (path) => renameSync(aside, path));
    if (payload !== null) this.#payloads?.note(payload, checksum);
  }

  /** Runs `make` on a path in the staging folder, making its `XX` folder first when that turns out to be missing. */
  named(path: string, make: (path: string) => void): void {
    try {
      make(path);
    } catch (error) {
      if (errnoCode(error) !== 'ENOENT') throw error;
      // Whether it is there now says nothing of then: another thread may have made it since.
      mkdirSync(path.slice(0, path.lastIndexOf('/')), { recursive: true });
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
