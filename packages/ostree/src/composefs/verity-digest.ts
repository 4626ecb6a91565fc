import { hash } from 'node:crypto';

/** Bytes of data, and of hashes, that one hash covers. */
const BLOCK = 4096;
const HASH = 32;
const ZEROS = Buffer.alloc(BLOCK);

const digest = (data: Uint8Array): Buffer => hash('sha256', data, 'buffer');

/** A level of the tree: gathers hashes of the level below to a block, and hands the hash of each block up. */
class Level {
  readonly #block = Buffer.alloc(BLOCK);
  #filled = 0;
  #up: Level | null = null;
  #hashes = 0;

  add(below: Buffer): void {
    if (this.#filled === BLOCK) this.#flush();
    below.copy(this.#block, this.#filled);
    this.#filled += HASH;
    this.#hashes++;
  }

  #flush(): void {
    this.#block.fill(0, this.#filled);
    this.#up ??= new Level();
    this.#up.add(digest(this.#block));
    this.#filled = 0;
  }

  /** The root: where a level has one hash only, that is it. */
  root(): Buffer {
    if (this.#hashes === 1) return this.#block.subarray(0, HASH);
    this.#flush();
    return this.#up === null ? ZEROS.subarray(0, HASH) : this.#up.root();
  }
}

/**
 * The fs-verity digest of content given piece by piece: SHA-256, blocks of 4096 bytes, no salt (Linux
 * Documentation/filesystems/fsverity.rst). It is what the kernel would measure, on any file system.
 */
export class VerityHasher {
  readonly #leaves = new Level();
  #rest: Buffer = Buffer.alloc(0);
  #size = 0;

  update(data: Uint8Array): void {
    this.#size += data.length;
    let piece = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    if (this.#rest.length > 0) piece = Buffer.concat([this.#rest, piece]);
    let at = 0;
    for (; at + BLOCK <= piece.length; at += BLOCK) this.#leaves.add(digest(piece.subarray(at, at + BLOCK)));
    this.#rest = Buffer.from(piece.subarray(at));
  }

  digest(): Buffer {
    if (this.#rest.length > 0) {
      this.#leaves.add(digest(Buffer.concat([this.#rest, ZEROS.subarray(this.#rest.length)])));
      this.#rest = Buffer.alloc(0);
    }
    const descriptor = Buffer.alloc(256);
    descriptor[0] = 1; // version
    descriptor[1] = 1; // SHA-256
    descriptor[2] = 12; // log2 of the block size
    descriptor.writeBigUInt64LE(BigInt(this.#size), 8);
    if (this.#size > 0) this.#leaves.root().copy(descriptor, 16);
    return digest(descriptor);
  }
}
