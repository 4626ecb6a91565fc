import { setFlagsFromString } from 'node:v8';
import { AtomicError } from '@atomic/ostree';

/** What an image may have; more is refused. */
export interface ImageLimits {
  /** Entries of all its layers: files, links, whiteouts, and folders, those that are only on the way among them. */
  entries: number;
  /** Bytes of their names, and of what links say. An entry takes about 300 bytes of memory besides. */
  names: number;
  /** Bytes of a layer unpacked, whatever it is packed to. */
  bytes: number;
  /** From `ratioFrom` bytes on, how many times larger than packed a layer may be: gzip makes 1000 times of zeros. */
  ratio: number;
  ratioFrom: number;
}

export const LIMITS: ImageLimits = {
  entries: 500_000,
  names: 32 << 20,
  bytes: 256 * 2 ** 30,
  ratio: 200,
  ratioFrom: 2 ** 30,
};

/** From so many entries on memory is worth more than time: V8 would let garbage grow to several times what is in use. */
const MANY = 100_000;

/** How much was counted. */
export type Counted = Pick<ImageLimits, 'entries' | 'names'>;

/**
 * How much of its limits an image has used. Its layers are counted together, each by a tally of its own: they are read at
 * the same time, in one memory.
 */
export class Tally implements Counted {
  entries = 0;
  names = 0;
  readonly #limits: Counted;
  readonly #whole: Tally | undefined;

  constructor(limits: Counted = LIMITS, whole?: Tally) {
    this.#limits = limits;
    this.#whole = whole;
  }

  /** Counts an entry. Throws `invalid` for one too many. */
  add(name: string): void {
    this.count({ entries: 1, names: name.length });
  }

  /** Counts what is remembered of an entry beside its name. Throws `invalid` for too much. */
  text(length: number): void {
    this.count({ entries: 0, names: length });
  }

  /** Counts what was counted before. Throws `invalid` for too much. */
  count(more: Counted): void {
    const few = this.entries < MANY;
    this.entries += more.entries;
    this.names += more.names;
    if (few && this.entries >= MANY) setFlagsFromString('--heap-growing-percent=15');
    const { entries, names } = this.#limits;
    if (this.entries > entries)
      throw new AtomicError('invalid', `the image's layers have more than ${entries} entries`);
    if (this.names > names)
      throw new AtomicError('invalid', `the image's layers have more than ${names} bytes of names and links`);
    this.#whole?.count(more);
  }
}
