import { corrupt } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import type { Stretch } from './bsdiff.ts';
import type { ByteSource } from './bytes.ts';
import type { PackedKernel } from './kernel-image.ts';
import { PREDICTION_SETS, type Prediction, type Segment } from './predict.ts';
import type { ByteWriter } from './varint.ts';

/*
 * A lean part makes the same objects as the part of a static delta beside it, of fewer bytes: unlike things are packed
 * apart, references in code are foretold (predict.ts) and kernels compared unpacked (kernel-image.ts). Superblocks name
 * lean parts in `atomic.parts.v1`, an `a(ayt)` of digests and sizes; stock's clients pass over that and take the parts
 * they know. The file: `a`, a version, the lengths of the streams packed and unpacked, then the streams, each an .xz.
 */
export const LEAN_KIND = 0x61;
export const LEAN_VERSION = 1;
export const LEAN_KEY = 'atomic.parts.v1';
export const LEAN_KEY_TYPE = 'a(ayt)';
/** What a lean part is known by: the digest of its file, and the file's bytes. */
export interface LeanPart {
  checksum: Checksum;
  size: number;
}

/** File name of the lean part beside part `index`. */
export const leanPartName = (index: number): string => `a${index}`;

/** What each stream holds, in the order of the file. */
export const STREAMS = [
  /** The tables, and what is done for each object. */
  'steps',
  /** Content as it is: that of x86 programs by itself. */
  'literal',
  'code',
  /** The stretches of patches. */
  'stretches',
  /** How far it is from one byte that differs to the next; and by how much it differs. */
  'gaps',
  'values',
] as const;
export type StreamName = (typeof STREAMS)[number];

/** How an object is made. */
export const STEP = { whole: 0, patch: 1 } as const;
/** What a patch comes with. */
export const FLAG = { kernel: 1, prediction: 2, code: 4 } as const;

const MAX_SEGMENTS = 64;

/** Reads a stream from its beginning to its end. */
export class StreamReader {
  readonly #source: ByteSource;
  #window: Buffer = Buffer.alloc(0);
  #at = 0;
  #next = 0;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  get done(): boolean {
    return this.#at >= this.#window.length && this.#next >= this.#source.size;
  }

  byte(): number {
    if (this.#at >= this.#window.length) {
      const length = Math.min(1 << 18, this.#source.size - this.#next);
      if (length === 0) throw corrupt('a lean delta part is cut short');
      this.#window = this.#source.read(this.#next, length);
      this.#next += length;
      this.#at = 0;
    }
    return this.#window[this.#at++] ?? 0;
  }

  varint(): number {
    let value = 0;
    for (let scale = 1, count = 0; count < 8; scale *= 128, count++) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
    }
    throw corrupt('a number in the delta is too large');
  }

  /** A number with a sign. */
  signed(): number {
    const value = this.varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  take(length: number): Buffer {
    const held = this.#window.length - this.#at;
    if (length <= held) {
      this.#at += length;
      return this.#window.subarray(this.#at - length, this.#at);
    }
    const rest = length - held;
    if (rest > this.#source.size - this.#next) throw corrupt('a lean delta part is cut short');
    const bytes = Buffer.concat([this.#window.subarray(this.#at), this.#source.read(this.#next, rest)]);
    this.#next += rest;
    this.#at = this.#window.length;
    return bytes;
  }
}

export const writeSigned = (writer: ByteWriter, value: number): void =>
  writer.varint(value < 0 ? -value * 2 - 1 : value * 2);

export function writeKernel(writer: ByteWriter, { start, length }: PackedKernel): void {
  writer.varint(start);
  writer.varint(length);
}

/** Reads where a packed kernel lies in a file of `size` bytes. */
export function readKernel(reader: StreamReader, size: number): PackedKernel {
  const kernel = { start: reader.varint(), length: reader.varint() };
  if (kernel.start + kernel.length > size) throw corrupt('a packed kernel is not in its file');
  return kernel;
}

export function writePrediction(writer: ByteWriter, prediction: Prediction): void {
  writer.varint(prediction.segments.length);
  for (const { offset, size, address, code } of prediction.segments) {
    writer.varint(offset);
    writer.varint(size);
    writer.varint(address);
    writer.byte(code ? 1 : 0);
  }
  writer.push(prediction.relative);
  writer.push(prediction.absolute);
  writer.byte((prediction.pointers ? 1 : 0) | (prediction.distances ? 2 : 0));
}

export function readPrediction(reader: StreamReader): Prediction {
  const count = reader.varint();
  if (count > MAX_SEGMENTS) throw corrupt('a lean delta part describes too many segments');
  const segments: Segment[] = [];
  for (let i = 0; i < count; i++) {
    segments.push({
      offset: reader.varint(),
      size: reader.varint(),
      address: reader.varint(),
      code: reader.byte() !== 0,
    });
  }
  const sets = Buffer.from(reader.take(PREDICTION_SETS));
  const flags = reader.byte();
  return {
    segments,
    relative: sets.subarray(0, PREDICTION_SETS / 2),
    absolute: sets.subarray(PREDICTION_SETS / 2),
    pointers: (flags & 1) !== 0,
    distances: (flags & 2) !== 0,
  };
}

export function writeStretches(writer: ByteWriter, stretches: readonly Stretch[]): void {
  let end = 0;
  let endOld = 0;
  for (const { to, from, length } of stretches) {
    writer.varint(to - end);
    writer.varint(length);
    writeSigned(writer, from - endOld);
    end = to + length;
    endOld = from + length;
  }
}

/** Reads `count` stretches, all of which lie within the old and the new content. */
export function readStretches(reader: StreamReader, count: number, oldSize: number, newSize: number): Stretch[] {
  const stretches: Stretch[] = [];
  let end = 0;
  let endOld = 0;
  for (let i = 0; i < count; i++) {
    const to = end + reader.varint();
    const length = reader.varint();
    const from = endOld + reader.signed();
    if (length === 0 || from < 0 || from + length > oldSize || to + length > newSize) {
      throw corrupt('a lean delta part reaches beyond an object');
    }
    stretches.push({ to, from, length });
    end = to + length;
    endOld = from + length;
  }
  return stretches;
}
