import type { Stretch } from './bsdiff.ts';
import type { ByteSource } from './bytes.ts';

/*
 * When code moves, every reference across the place of a change is a different number, and a byte-for-byte difference
 * is full of them. But where old content lies in the new content is known (that is what stretches say), so most of
 * these numbers can be foretold: a reference from a place to a target becomes one from the new place to the new target.
 */

/** A piece of an ELF file that has addresses: bytes at `offset` are at `address`. */
export interface Segment {
  offset: number;
  size: number;
  /** Low 48 bits of the address; what is above is the same for all. */
  address: number;
  code: boolean;
}

const MAX_SEGMENTS = 64;
/** Headers further in are not looked for. */
export const HEAD = 8192;

/** The loaded pieces of a 64-bit little-endian ELF file of `fileSize` bytes, by place, from its first bytes. */
export function elfSegments(bytes: Buffer, fileSize: number): Segment[] {
  if (bytes.length < 64 || bytes.readUInt32BE(0) !== 0x7f454c46 || bytes[4] !== 2 || bytes[5] !== 1) return [];
  const table = Number(bytes.readBigUInt64LE(32));
  const entry = bytes.readUInt16LE(54);
  const count = bytes.readUInt16LE(56);
  if (entry !== 56 || count > MAX_SEGMENTS || table + count * entry > bytes.length) return [];
  const found: Segment[] = [];
  for (let i = 0; i < count; i++) {
    const at = table + i * entry;
    const offset = Number(bytes.readBigUInt64LE(at + 8));
    const size = Number(bytes.readBigUInt64LE(at + 32));
    if (bytes.readUInt32LE(at) !== 1 || size === 0 || offset + size > fileSize) continue;
    const address = Number(bytes.readBigUInt64LE(at + 16) & 0xffffffffffffn);
    found.push({ offset, size, address, code: (bytes.readUInt32LE(at + 4) & 1) !== 0 });
  }
  return found.sort((a, b) => a.offset - b.offset);
}

/** What it takes to foretell references; plain numbers, sent along with the stretches. */
export interface Prediction {
  /** The new file's loaded pieces. */
  segments: Segment[];
  /** Which bytes, in front of four others in code, make those a distance to a target: a set of 256 bits. */
  relative: Buffer;
  /** Which make them the low half of an address. */
  absolute: Buffer;
  /** Whether aligned eight bytes in data are addresses, and four are distances from themselves. */
  pointers: boolean;
  distances: boolean;
}

/** Foretelling notes where each grain of the old file went, so that is not to be too large. */
export const MAX_PREDICTED = 64 << 20;

const SET = 32;
/** Stretches are worked on in pieces of this size, and no reference goes across. */
export const PREDICTION_PIECE = 1 << 20;
/** Where old content went is noted for so many bytes at a time. */
const GRAIN = 16;
const UNKNOWN = 0x7fffffff;
/** Kernels and the like live in the last two gigabytes: 32 bits name an address there. */
const HIGH_HALF = 0xffff_0000_0000;

const member = (set: Buffer, byte: number): boolean => ((set[byte >> 3] ?? 0) & (1 << (byte & 7))) !== 0;

type Kind = 'relative' | 'absolute' | 'pointers' | 'distances';
/** Told of a reference in old bytes at `at` whose new value would be `value`; says whether to go past it. */
type Found = (kind: Kind, key: number, at: number, value: number) => boolean;

/** Foretells references, given where old content went and both files' segments. */
export class Predictor {
  readonly #old: Segment[];
  readonly #next: Segment[];
  readonly #shifts: Int32Array;
  readonly #high: boolean;

  constructor(oldSize: number, old: Segment[], next: Segment[], stretches: readonly Stretch[]) {
    this.#old = old;
    this.#next = next;
    this.#high = (old[0]?.address ?? 0) > HIGH_HALF;
    this.#shifts = new Int32Array(Math.ceil(oldSize / GRAIN)).fill(UNKNOWN);
    // Long stretches are to be believed before short ones, which may be alike by chance.
    for (const { to, from, length } of [...stretches].sort((a, b) => b.length - a.length || a.to - b.to)) {
      const end = Math.floor((from + length - 1) / GRAIN);
      for (let grain = Math.floor(from / GRAIN); grain <= end; grain++) {
        if (this.#shifts[grain] === UNKNOWN) this.#shifts[grain] = to - from;
      }
    }
    let last = 0;
    for (let grain = 0; grain < this.#shifts.length; grain++) {
      if (this.#shifts[grain] === UNKNOWN) this.#shifts[grain] = last;
      else last = this.#shifts[grain] ?? 0;
    }
  }

  /** The new address of what was at an old address; -1 for none. */
  #moved(address: number): number {
    for (const segment of this.#old) {
      const within = address - segment.address;
      if (within < 0 || within >= segment.size) continue;
      const place = segment.offset + within;
      return addressOf(this.#next, place + (this.#shifts[Math.floor(place / GRAIN)] ?? 0));
    }
    return -1;
  }

  /** Looks through old bytes, which are at `from` in the old file and go to `to` in the new one. */
  scan(bytes: Buffer, from: number, to: number, found: Found): void {
    const segment = this.#old.find(({ offset, size }) => from >= offset && from < offset + size);
    const target = segmentAt(this.#next, to);
    const high = this.#high;
    if (segment === undefined || target === null) return;
    const end = Math.min(bytes.length, segment.offset + segment.size - from);
    const place = segment.address + from - segment.offset;
    const newPlace = target.address + to - target.offset;
    for (let at = 1; at + 8 <= end; at++) {
      const word =
        (bytes[at] ?? 0) |
        ((bytes[at + 1] ?? 0) << 8) |
        ((bytes[at + 2] ?? 0) << 16) |
        ((bytes[at + 3] ?? 0) << 24) |
        0;
      if (segment.code) {
        const key = bytes[at - 1] ?? 0;
        const goal = this.#moved(place + at + 4 + word);
        if (goal >= 0 && found('relative', key, at, goal - (newPlace + at + 4))) at += 3;
        else if (high && word < 0) {
          const address = this.#moved(HIGH_HALF + (word >>> 0));
          if (address >= 0 && found('absolute', key, at, address)) at += 3;
        }
      } else if (((from + at) & 7) === 0) {
        const address = ((bytes[at + 4] ?? 0) | ((bytes[at + 5] ?? 0) << 8)) * 2 ** 32 + (word >>> 0);
        const goal = address < 4096 ? -1 : this.#moved(address);
        if (goal >= 0 && found('pointers', 0, at, goal)) at += 7;
        else if (this.#distance(word, place + at, newPlace + at, at, found)) at += 3;
      } else if (((from + at) & 3) === 0 && this.#distance(word, place + at, newPlace + at, at, found)) at += 3;
    }
  }

  #distance(word: number, place: number, newPlace: number, at: number, found: Found): boolean {
    if (word > -1024 && word < 1024) return false;
    const goal = this.#moved(place + word);
    return goal >= 0 && found('distances', 0, at, goal - newPlace);
  }

  /** Changes old bytes into what the new ones should be. */
  apply(bytes: Buffer, from: number, to: number, prediction: Prediction): void {
    this.scan(bytes, from, to, (kind, key, at, value) => {
      const set = kind === 'relative' || kind === 'absolute' ? prediction[kind] : null;
      if (set === null ? prediction[kind === 'pointers' ? 'pointers' : 'distances'] === false : !member(set, key))
        return false;
      bytes.writeInt32LE(value | 0, at);
      return true;
    });
  }
}

function segmentAt(segments: readonly Segment[], place: number): Segment | null {
  for (const segment of segments) {
    if (place >= segment.offset && place < segment.offset + segment.size) return segment;
  }
  return null;
}

function addressOf(segments: readonly Segment[], place: number): number {
  const segment = segmentAt(segments, place);
  return segment === null ? -1 : segment.address + place - segment.offset;
}

/** Finds out which kinds of references are worth foretelling between two files; null when none is. */
export function learnPrediction(old: ByteSource, next: ByteSource, stretches: readonly Stretch[]): Prediction | null {
  const [before, segments] = [segmentsOf(old), segmentsOf(next)];
  if (before.length === 0 || segments.length === 0) return null;
  const predictor = new Predictor(old.size, before, segments, stretches);
  const gains = {
    relative: new Int32Array(256),
    absolute: new Int32Array(256),
    pointers: new Int32Array(1),
    distances: new Int32Array(1),
  };
  for (const { piece, from, to } of stretchPieces(stretches)) {
    const bytes = old.read(from, piece);
    const made = next.read(to, piece);
    predictor.scan(bytes, from, to, (kind, key, at, value) => {
      const [is, was] = [made.readInt32LE(at), bytes.readInt32LE(at)];
      const foretold = value | 0;
      if (foretold !== was) gains[kind][key] = (gains[kind][key] ?? 0) + (is === foretold ? 1 : is === was ? -2 : 0);
      // Only what comes true is gone past, so that kinds do not hide one another while they are weighed.
      return is === foretold;
    });
  }
  const set = (gain: Int32Array): Buffer => {
    const bits = Buffer.alloc(SET);
    gain.forEach((value, byte) => {
      if (value > 0) bits[byte >> 3] = (bits[byte >> 3] ?? 0) | (1 << (byte & 7));
    });
    return bits;
  };
  const prediction: Prediction = {
    segments,
    relative: set(gains.relative),
    absolute: set(gains.absolute),
    pointers: (gains.pointers[0] ?? 0) > 0,
    distances: (gains.distances[0] ?? 0) > 0,
  };
  const total = [...gains.relative, ...gains.absolute, ...gains.pointers, ...gains.distances].reduce(
    (sum, gain) => sum + Math.max(0, gain),
    0,
  );
  return total > 64 ? prediction : null;
}

/** The pieces in which stretches are worked on, the same on both sides. */
export function* stretchPieces(stretches: readonly Stretch[]): Generator<{ from: number; to: number; piece: number }> {
  for (const { to, from, length } of stretches) {
    for (let done = 0; done < length; done += PREDICTION_PIECE) {
      yield { from: from + done, to: to + done, piece: Math.min(PREDICTION_PIECE, length - done) };
    }
  }
}

/** Bytes of a prediction's two sets. */
export const PREDICTION_SETS = 2 * SET;

/** The segments of an old file, which both sides read from the file itself. */
export const segmentsOf = (file: ByteSource): Segment[] =>
  elfSegments(file.read(0, Math.min(file.size, HEAD)), file.size);
