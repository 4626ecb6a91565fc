import { hash } from 'node:crypto';
import { readFileSync, renameSync, rmSync, type Stats, statfsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { errnoCode } from '@atomic/linux';
import type { Checksum } from '../objects/checksum.ts';
import type { Repo } from '../repo/repo.ts';
import type { Info } from './modifier.ts';

/** Everything besides a file's own bytes that decides its content object (or a directory's dirmeta). */
export interface Wanted extends Info {
  /** Whether its extended attributes go in. */
  xattrs: boolean;
  label: string | null;
}

// A record is 14 doubles' room: dev ino ctime mtime size | mode uid | gid wmode | wuid wgid | xattrs generation | label | checksum.
const SLOTS = 14;
const RECORD = SLOTS * 8;
const MAGIC = Buffer.from('atomic stat cache 1\n\0\0\0\0');
const HEADER = 64;
const MAX_RECORDS = 400_000;
/** Fewer are not worth a file. */
const MIN_RECORDS = 64;

/**
 * File systems of this machine, whose clock is ours and whose inode numbers last: ext4, xfs, btrfs, f2fs, tmpfs,
 * overlayfs, zfs, bcachefs (linux/magic.h and their own sources). On others a change may leave the same stat behind.
 */
const TRUSTED = new Set([0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x01021994, 0x794c7630, 0x2fc12fc1, 0xca451a4e]);

/**
 * What was hashed when, as git's index keeps it: a file whose device, inode, times (to a quarter of a microsecond),
 * size, mode and owner are what they were has the content object it had. The change time covers content and
 * attributes alike, and nobody can set it. A file that changed so recently that a further change could leave the same
 * time behind is not remembered. (As with git, writes through a shared mapping of a page that was dirty already move
 * no time until the page is written back.)
 *
 * It lies in `tmp/cache/` of the repository, where stock tools let it be. It carries its own checksum: one that is
 * torn, damaged or of another version is as good as none.
 */
export class StatCache {
  readonly #path: string;
  #floats = new Float64Array(0);
  #words = new Uint32Array(0);
  #bytes: Buffer = Buffer.alloc(0);
  #count = 0;
  /** The records that a fresh look at the file has made void. */
  readonly #dead = new Set<number>();
  readonly #seen = new Set<number>();
  readonly #index = new Map<number, Map<number, number>>();
  readonly #trusted = new Map<number, boolean>();
  readonly #labels = new Map<string, number>();
  #generation = 1;
  #dirty = false;

  constructor(repo: Repo) {
    this.#path = join(repo.path, 'tmp/cache/atomic-stat-cache');
    let file: Buffer;
    try {
      file = readFileSync(this.#path);
    } catch {
      return;
    }
    const count = file.length >= HEADER ? file.readUInt32LE(24) : 0;
    if (!file.subarray(0, MAGIC.length).equals(MAGIC) || count > MAX_RECORDS) return;
    if (file.length !== HEADER + count * RECORD) return;
    const body = file.subarray(HEADER);
    if (!hash('sha256', body, 'buffer').equals(file.subarray(32, 64))) return;
    this.#generation = file.readUInt32LE(28) + 1;
    this.#reserve(count);
    this.#bytes.set(body);
    this.#count = count;
    for (let record = 0; record < count; record++) this.#enter(record);
  }

  /** The object the file had when it last looked like this, or null. */
  find(stat: Stats, wanted: Wanted): Checksum | null {
    const record = this.#index.get(stat.dev)?.get(stat.ino);
    if (record === undefined) return null;
    const f = record * SLOTS;
    const w = f * 2;
    const floats = this.#floats;
    const words = this.#words;
    if (
      floats[f + 2] !== stat.ctimeMs ||
      floats[f + 3] !== stat.mtimeMs ||
      floats[f + 4] !== stat.size ||
      words[w + 10] !== stat.mode ||
      words[w + 11] !== stat.uid ||
      words[w + 12] !== stat.gid ||
      words[w + 13] !== wanted.mode ||
      words[w + 14] !== wanted.uid ||
      words[w + 15] !== wanted.gid ||
      words[w + 16] !== Number(wanted.xattrs) ||
      floats[f + 9] !== this.#labelKey(wanted.label)
    )
      return null;
    this.#seen.add(record);
    return this.#bytes.toString('hex', record * RECORD + 80, record * RECORD + 112);
  }

  /** Remembers what a file hashed to. `stat` was taken before the file was read, at `lookedAt` (ms of this machine's clock). */
  note(stat: Stats, wanted: Wanted, checksum: Checksum, path: string, lookedAt: number): void {
    const known = this.#index.get(stat.dev)?.get(stat.ino);
    if (known !== undefined) {
      this.#dead.add(known);
      this.#index.get(stat.dev)?.delete(stat.ino);
      this.#dirty = true;
    }
    // The kernel's clock for files ticks every 10 ms at worst; a file system that keeps whole seconds shows none below.
    const tick = stat.ctimeMs % 1000 === 0 ? 2000 : 100;
    if (stat.ctimeMs + tick > lookedAt || this.#count >= MAX_RECORDS) return;
    // statfs(2) follows symlinks.
    if (!this.#isTrusted(stat.dev, stat.isSymbolicLink() ? dirname(path) : path)) return;
    this.#reserve(this.#count + 1);
    const record = this.#count++;
    const f = record * SLOTS;
    this.#floats.set([stat.dev, stat.ino, stat.ctimeMs, stat.mtimeMs, stat.size], f);
    this.#words.set([stat.mode, stat.uid, stat.gid, wanted.mode, wanted.uid, wanted.gid], f * 2 + 10);
    this.#words[f * 2 + 16] = Number(wanted.xattrs);
    this.#floats[f + 9] = this.#labelKey(wanted.label);
    this.#bytes.write(checksum, record * RECORD + 80, 'hex');
    this.#enter(record);
    this.#seen.add(record);
    this.#dirty = true;
  }

  /** Writes what is new, once the objects it speaks of are stored. Failing that, the next commit hashes again. */
  save(): void {
    if (!this.#dirty || this.#count - this.#dead.size < MIN_RECORDS) return;
    const keep: number[] = [];
    for (let record = 0; record < this.#count; record++) {
      if (this.#dead.has(record)) continue;
      if (this.#seen.has(record)) this.#words[record * SLOTS * 2 + 17] = this.#generation;
      keep.push(record);
    }
    const generationOf = (record: number) => this.#words[record * SLOTS * 2 + 17] ?? 0;
    // Those that 50 commits did not come across are gone or changed.
    const kept = keep.filter((record) => generationOf(record) + 50 > this.#generation);
    const file = Buffer.alloc(HEADER + kept.length * RECORD);
    kept.forEach((record, i) => {
      this.#bytes.copy(file, HEADER + i * RECORD, record * RECORD, (record + 1) * RECORD);
    });
    MAGIC.copy(file);
    file.writeUInt32LE(kept.length, 24);
    file.writeUInt32LE(this.#generation, 28);
    hash('sha256', file.subarray(HEADER), 'buffer').copy(file, 32);
    const aside = `${this.#path}.${process.pid}`;
    try {
      writeFileSync(aside, file, { mode: 0o600 });
      renameSync(aside, this.#path);
    } catch (error) {
      rmSync(aside, { force: true });
      if (errnoCode(error) === undefined) throw error;
    }
  }

  #enter(record: number): void {
    const dev = this.#floats[record * SLOTS] ?? 0;
    const ino = this.#floats[record * SLOTS + 1] ?? 0;
    let inodes = this.#index.get(dev);
    if (inodes === undefined) {
      inodes = new Map();
      this.#index.set(dev, inodes);
    }
    inodes.set(ino, record);
  }

  #reserve(count: number): void {
    if (count * RECORD <= this.#bytes.length) return;
    const memory = new ArrayBuffer(Math.max(1024, count, Math.ceil(this.#count * 1.5)) * RECORD);
    const bytes = Buffer.from(memory);
    bytes.set(this.#bytes);
    this.#bytes = bytes;
    this.#floats = new Float64Array(memory);
    this.#words = new Uint32Array(memory);
  }

  #isTrusted(dev: number, path: string): boolean {
    let trusted = this.#trusted.get(dev);
    if (trusted === undefined) {
      trusted = TRUSTED.has(statfsSync(path).type);
      this.#trusted.set(dev, trusted);
    }
    return trusted;
  }

  /** A label as a number, 0 for none: labels are few, so 48 bits tell them apart. */
  #labelKey(label: string | null): number {
    if (label === null) return 0;
    let key = this.#labels.get(label);
    if (key === undefined) {
      key = hash('sha256', label, 'buffer').readUIntLE(0, 6) + 1;
      this.#labels.set(label, key);
    }
    return key;
  }
}
