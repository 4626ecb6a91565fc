/** Numbers that look random and follow from a seed (mulberry32): below `limit`. */
export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let x = this.#state;
    x = Math.imul(x ^ (x >>> 15), x | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) % limit;
  }
  pick<T>(list: readonly [T, ...T[]]): T {
    return list[this.below(list.length)] ?? list[0];
  }
}

const BYTES = [0, 1, 2, 0x20, 0x2f, 0x7f, 0x80, 0xfe, 0xff] as const;
const NUMBERS = [0, 1, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff] as const;
/** Pieces that mean something to one parser or another. */
const WORDS = [
  '..',
  '/',
  '../x',
  '\0',
  'a{sv}',
  '((((',
  'mmmm',
  '[',
  '<',
  '@',
  "'",
  '\\u',
  '%00',
  '9'.repeat(30),
  '\n',
  '\ufffd',
  '-1',
  '<!ENTITY a "&a;">',
  'OSTSGNDT',
  '.wh.',
  '.wh..wh..opq',
] as const;

/** One to six changes of a seed: bytes set, flipped, cut, put in, repeated, other seeds spliced in, lengths made absurd. */
export function mutate(random: Random, seed: Buffer, others: readonly Buffer[]): Buffer {
  let bytes = Buffer.from(seed);
  for (let left = 1 + random.below(6); left > 0; left--) {
    const at = bytes.length === 0 ? 0 : random.below(bytes.length);
    const length = 1 + random.below(random.below(8) === 0 ? 600 : 12);
    const [head, tail] = [bytes.subarray(0, at), bytes.subarray(at)];
    switch (random.below(10)) {
      case 0:
      case 1:
        if (bytes.length > 0) bytes[at] = random.below(2) === 0 ? random.pick(BYTES) : random.below(256);
        break;
      case 2:
        if (bytes.length > 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
        break;
      case 3:
        bytes = Buffer.concat([head, tail.subarray(length)]);
        break;
      case 4:
        bytes = Buffer.concat([head, Buffer.alloc(length, random.pick(BYTES)), tail]);
        break;
      case 5:
        bytes = Buffer.concat([head, Buffer.from(random.pick(WORDS)), tail.subarray(random.below(2) * length)]);
        break;
      case 6:
        bytes = Buffer.from(head);
        break;
      case 7:
        bytes = Buffer.concat([head, bytes.subarray(Math.max(0, at - length))]);
        break;
      case 8: {
        const other = others[random.below(Math.max(1, others.length))] ?? bytes;
        const from = random.below(other.length + 1);
        bytes = Buffer.concat([head, other.subarray(from, from + length * 4), tail]);
        break;
      }
      default:
        if (bytes.length >= 4) {
          const place = Math.min(at, bytes.length - 4);
          if (random.below(2) === 0) bytes.writeUInt32LE(random.pick(NUMBERS), place);
          else bytes.writeUInt32BE(random.pick(NUMBERS), place);
        }
    }
  }
  return bytes;
}
