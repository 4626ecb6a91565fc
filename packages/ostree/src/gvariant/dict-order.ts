/**
 * The order in which GLib's `GVariantDict` gives its keys out: that of a `GHashTable` with `g_str_hash` into which they
 * were put one after another (GLib's ghash.c: open addressing, sizes of a power of two, primes for the first probe).
 * libostree builds its summaries and some commits with such tables, so their bytes follow from it.
 */
export function hashTableOrder(keys: Iterable<string>): string[] {
  const table = new Table();
  for (const key of keys) table.insert(key);
  return table.keys();
}

/** The keys of a map in {@link hashTableOrder}, with their values. */
export function inHashTableOrder<T>(map: ReadonlyMap<string, T>): Map<string, T> {
  const ordered = new Map<string, T>();
  for (const key of hashTableOrder(map.keys())) {
    const value = map.get(key);
    if (value !== undefined) ordered.set(key, value);
  }
  return ordered;
}

const MIN_SHIFT = 3;
/** The largest prime below each power of two, by its exponent. */
const PRIMES = [
  1, 2, 3, 7, 13, 31, 61, 127, 251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071, 262139, 524287, 1048573,
  2097143, 4194301, 8388593, 16777213,
];

interface Slot {
  hash: number;
  key: string;
}

class Table {
  #shift = MIN_SHIFT;
  #slots: (Slot | undefined)[] = new Array(1 << MIN_SHIFT);
  #count = 0;

  insert(key: string): void {
    const hash = stringHash(key);
    let at = this.#first(hash);
    for (let step = 1; ; step++) {
      const slot = this.#slots[at];
      if (slot === undefined) break;
      if (slot.hash === hash && slot.key === key) return;
      at = (at + step) & (this.#slots.length - 1);
    }
    this.#slots[at] = { hash, key };
    this.#count++;
    const size = this.#slots.length;
    if (size <= this.#count + Math.floor(this.#count / 16)) this.#resize();
  }

  keys(): string[] {
    return this.#slots.flatMap((slot) => (slot === undefined ? [] : [slot.key]));
  }

  #first(hash: number): number {
    return (Math.imul(hash, 11) >>> 0) % (PRIMES[this.#shift] ?? 1);
  }

  /** Moves every slot within the enlarged table; one that is in the way is put elsewhere in its turn. */
  #resize(): void {
    const old = this.#slots.length;
    this.#shift = Math.max(MIN_SHIFT, 32 - Math.clz32(Math.floor(this.#count * 1.333)));
    const size = 1 << this.#shift;
    this.#slots.length = size;
    const settled = new Array<boolean>(size).fill(false);
    for (let i = 0; i < old; i++) {
      if (settled[i] === true) continue;
      let moving = this.#slots[i];
      this.#slots[i] = undefined;
      while (moving !== undefined) {
        let at = this.#first(moving.hash);
        for (let step = 1; settled[at] === true; step++) at = (at + step) & (size - 1);
        settled[at] = true;
        const displaced: Slot | undefined = this.#slots[at];
        this.#slots[at] = moving;
        moving = displaced;
      }
    }
  }
}

/** g_str_hash(): djb2 over signed bytes, in 32 bits. 0 and 1 mean empty and deleted slots, so they become 2. */
function stringHash(text: string): number {
  let hash = 5381;
  for (const byte of Buffer.from(text)) hash = (Math.imul(hash, 33) + ((byte << 24) >> 24)) >>> 0;
  return Math.max(hash, 2);
}
