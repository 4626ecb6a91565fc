import { createHash, hash } from 'node:crypto';
import {
  closeSync,
  fstatSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  type Stats,
  statfsSync,
  writeSync,
} from 'node:fs';
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
/** Records are kept in pieces of so many, so that memory need not be copied to have more of it. */
const PIECE = 4096;
/** Commits that do not come across a file before it is forgotten: it is gone, or changed. */
const FORGET = 50;
/** Generation of a record that a fresh look at the file has made void. */
const VOID = 0;

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
  readonly #pieces: Piece[] = [];
  #count = 0;
  #void = 0;
  /** Records (plus one) by device and inode, in open addressing: a Map takes ten times the memory. */
  #slots = new Int32Array(1024);
  readonly #trusted = new Map<number, boolean>();
  readonly #labels = new Map<string, number>();
  #generation = 1;
  #dirty = false;

  constructor(repo: Repo) {
    this.#path = join(repo.path, 'tmp/cache/atomic-stat-cache');
    try {
      const fd = openSync(this.#path, 'r');
      try {
        this.#load(fd);
      } finally {
        closeSync(fd);
      }
    } catch {
      // One that cannot be read is as good as none.
      this.#pieces.length = 0;
    }
  }

  #load(fd: number): void {
    const header = Buffer.alloc(HEADER);
    const { size } = fstatSync(fd);
    if (readSync(fd, header) !== HEADER || !header.subarray(0, MAGIC.length).equals(MAGIC)) return;
    const count = header.readUInt32LE(24);
    if (count > MAX_RECORDS || size !== HEADER + count * RECORD) return;
    const digest = createHash('sha256');
    for (let left = count; left > 0; left -= PIECE) {
      const piece = makePiece();
      const part = piece.bytes.subarray(0, Math.min(left, PIECE) * RECORD);
      if (readSync(fd, part) !== part.length) break;
      digest.update(part);
      this.#pieces.push(piece);
    }
    if (!digest.digest().equals(header.subarray(32, 64))) {
      this.#pieces.length = 0;
      return;
    }
    this.#generation = header.readUInt32LE(28) + 1;
    for (let record = 0; record < count; record++) this.#enter(record);
  }

  /** The object the file had when it last looked like this, or null. */
  find(stat: Stats, wanted: Wanted): Checksum | null {
    const record = this.#recordOf(stat.dev, stat.ino);
    const piece = this.#pieces[Math.trunc(record / PIECE)];
    if (piece === undefined) return null;
    const { floats, words, bytes } = piece;
    const f = (record % PIECE) * SLOTS;
    const w = f * 2;
    if (
      words[w + 17] === VOID ||
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
    words[w + 17] = this.#generation;
    return bytes.toString('hex', f * 8 + 80, f * 8 + 112);
  }

  /** Remembers what a file hashed to. `stat` was taken before the file was read, at `lookedAt` (ms of this machine's clock). */
  note(stat: Stats, wanted: Wanted, checksum: Checksum, path: string, lookedAt: number): void {
    const known = this.#recordOf(stat.dev, stat.ino);
    if (known >= 0) this.#makeVoid(known);
    // The kernel's clock for files ticks every 10 ms at worst; a file system that keeps whole seconds shows none below.
    const tick = stat.ctimeMs % 1000 === 0 ? 2000 : 100;
    if (stat.ctimeMs + tick > lookedAt || (known < 0 && this.#count >= MAX_RECORDS)) return;
    // statfs(2) follows symlinks.
    if (!this.#isTrusted(stat.dev, stat.isSymbolicLink() ? dirname(path) : path)) return;
    const record = known < 0 ? this.#count : known;
    const number = Math.trunc(record / PIECE);
    const { floats, words, bytes } = this.#pieces[number] ?? makePiece(this.#pieces);
    const f = (record % PIECE) * SLOTS;
    const w = f * 2;
    floats[f] = stat.dev;
    floats[f + 1] = stat.ino;
    floats[f + 2] = stat.ctimeMs;
    floats[f + 3] = stat.mtimeMs;
    floats[f + 4] = stat.size;
    words[w + 10] = stat.mode;
    words[w + 11] = stat.uid;
    words[w + 12] = stat.gid;
    words[w + 13] = wanted.mode;
    words[w + 14] = wanted.uid;
    words[w + 15] = wanted.gid;
    words[w + 16] = Number(wanted.xattrs);
    words[w + 17] = this.#generation;
    floats[f + 9] = this.#labelKey(wanted.label);
    bytes.write(checksum, f * 8 + 80, 'hex');
    if (known < 0) this.#enter(record);
    else this.#void--;
    this.#dirty = true;
  }

  #makeVoid(record: number): void {
    const words = this.#pieces[Math.trunc(record / PIECE)]?.words;
    const at = (record % PIECE) * SLOTS * 2 + 17;
    if (words === undefined || words[at] === VOID) return;
    words[at] = VOID;
    this.#void++;
    this.#dirty = true;
  }

  /**
   * Writes what is new, once the objects it speaks of are stored; nothing can be asked of the cache after that. Failing
   * that, the next commit hashes again.
   */
  save(): void {
    if (!this.#dirty || this.#count - this.#void < MIN_RECORDS) return;
    const aside = `${this.#path}.${process.pid}`;
    try {
      const fd = openSync(aside, 'w', 0o600);
      try {
        this.#write(fd);
      } finally {
        closeSync(fd);
      }
      renameSync(aside, this.#path);
    } catch (error) {
      rmSync(aside, { force: true });
      if (errnoCode(error) === undefined) throw error;
    }
  }

  #write(fd: number): void {
    const digest = createHash('sha256');
    let written = 0;
    for (const [number, { bytes, words }] of this.#pieces.entries()) {
      let kept = 0;
      for (let i = 0; i < Math.min(PIECE, this.#count - number * PIECE); i++) {
        const generation = words[i * SLOTS * 2 + 17] ?? VOID;
        if (generation === VOID || generation + FORGET <= this.#generation) continue;
        if (kept < i) bytes.copyWithin(kept * RECORD, i * RECORD, (i + 1) * RECORD);
        kept++;
      }
      const part = bytes.subarray(0, kept * RECORD);
      digest.update(part);
      writeWhole(fd, part, HEADER + written * RECORD);
      written += kept;
    }
    const header = Buffer.alloc(HEADER);
    MAGIC.copy(header);
    header.writeUInt32LE(written, 24);
    header.writeUInt32LE(this.#generation, 28);
    digest.digest().copy(header, 32);
    writeWhole(fd, header, 0);
  }

  /** Makes the record next in line be found. */
  #enter(record: number): void {
    this.#count = record + 1;
    if (this.#count * 2 > this.#slots.length) {
      this.#slots = new Int32Array(this.#slots.length * 2);
      for (let i = 0; i < record; i++) this.#place(i);
    }
    this.#place(record);
  }

  #place(record: number): void {
    const floats = this.#pieces[Math.trunc(record / PIECE)]?.floats;
    const f = (record % PIECE) * SLOTS;
    const slots = this.#slots;
    const mask = slots.length - 1;
    let at = hashOf(floats?.[f] ?? 0, floats?.[f + 1] ?? 0) & mask;
    while (slots[at] !== 0) at = (at + 1) & mask;
    slots[at] = record + 1;
  }

  /** The record of an inode, or -1. */
  #recordOf(dev: number, ino: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let at = hashOf(dev, ino) & mask; ; at = (at + 1) & mask) {
      const record = (slots[at] ?? 0) - 1;
      if (record < 0) return -1;
      const floats = this.#pieces[Math.trunc(record / PIECE)]?.floats;
      const f = (record % PIECE) * SLOTS;
      if (floats?.[f + 1] === ino && floats[f] === dev) return record;
    }
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

/** A piece of the records, as bytes and as the numbers in them. */
interface Piece {
  bytes: Buffer;
  floats: Float64Array;
  words: Uint32Array;
}

function makePiece(among: Piece[] = []): Piece {
  const memory = new ArrayBuffer(PIECE * RECORD);
  const piece = { bytes: Buffer.from(memory), floats: new Float64Array(memory), words: new Uint32Array(memory) };
  among.push(piece);
  return piece;
}

/** Inode numbers come in runs, which this spreads. */
const hashOf = (dev: number, ino: number): number => {
  const mixed = Math.imul((ino ^ Math.trunc(ino / 2 ** 32) ^ Math.imul(dev, 0x9e3779b1)) | 0, 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
};

function writeWhole(fd: number, bytes: Uint8Array, position: number): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, position + at);
}
