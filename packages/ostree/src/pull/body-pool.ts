const slabBytes = 1024 * 1024;

interface Slab {
  memory: SharedArrayBuffer;
  used: number;
  /** Pieces of it that somebody still reads. */
  lent: number;
}

/** Memory lent for one body; `release` it once. */
export interface Lent {
  bytes: Buffer;
  release(): void;
}

/**
 * Memory for bodies on their way from the network to the threads that unpack them: shared, so that it is not copied
 * between threads, and used again, so that it does not pile up until garbage is collected.
 */
export class BodyPool {
  readonly #free: Slab[] = [];
  #current: Slab | null = null;

  take(length: number): Lent {
    if (length > slabBytes / 2) return { bytes: Buffer.from(new SharedArrayBuffer(length)), release: () => {} };
    let slab = this.#current;
    if (slab === null || slab.used + length > slabBytes) {
      if (slab?.lent === 0) this.#recycle(slab);
      slab = this.#free.pop() ?? { memory: new SharedArrayBuffer(slabBytes), used: 0, lent: 0 };
      this.#current = slab;
    }
    const from = slab;
    const bytes = Buffer.from(from.memory, from.used, length);
    from.used += length;
    from.lent++;
    let lent = true;
    return {
      bytes,
      release: () => {
        if (!lent) return;
        lent = false;
        if (--from.lent === 0 && from !== this.#current) this.#recycle(from);
      },
    };
  }

  #recycle(slab: Slab): void {
    slab.used = 0;
    this.#free.push(slab);
  }
}
