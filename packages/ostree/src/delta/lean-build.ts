import { encode } from '../gvariant/encode.ts';
import { swap32 } from '../gvariant/value.ts';
import { type Checksum, checksumToBytes } from '../objects/checksum.ts';
import { type Xattr, xattrsToValue } from '../objects/xattrs.ts';
import { bsdiff, type Stretch } from './bsdiff.ts';
import { type ByteSource, free, Spool } from './bytes.ts';
import { findPackedKernel, type PackedKernel, packKernel } from './kernel-image.ts';
import {
  FLAG,
  LEAN_KIND,
  LEAN_VERSION,
  STEP,
  STREAMS,
  type StreamName,
  writeKernel,
  writePrediction,
  writeStretches,
} from './lean-format.ts';
import type { DeltaMode } from './part.ts';
import { learnPrediction, MAX_PREDICTED, type Prediction, Predictor, segmentsOf, stretchPieces } from './predict.ts';
import { openUnpacked } from './unpacked-kernel.ts';
import { ByteWriter } from './varint.ts';
import { type BuiltFile, writeBuilt } from './write-built.ts';
import { packXz } from './xz.ts';

const PIECE = 1 << 20;
const FLUSH = 1 << 18;
const MAX_DICTIONARY = 4 << 20;
/** Streams are short, so they are packed with care. */
const NICE = 160;
/** A kernel is a tenth of this when unpacked; what is larger is none. */
const MAX_KERNEL = 256 << 20;
const ELF_MAGIC = 0x7f454c46;

/** Gathers the streams of a lean part, object by object. */
export class LeanBuilder implements Disposable {
  readonly #folder: string;
  readonly #spools = new Map<StreamName, Spool>();
  readonly #writers = new Map<StreamName, ByteWriter>();
  /** Bytes that do not differ since the last that did. */
  #gap = 0;

  constructor(folder: string) {
    this.#folder = folder;
    for (const name of STREAMS) {
      this.#spools.set(name, new Spool(folder));
      this.#writers.set(name, new ByteWriter(1 << 12));
    }
  }

  #writer(name: StreamName): ByteWriter {
    const writer = this.#writers.get(name);
    if (writer === undefined) throw new TypeError(`no stream ${name}`);
    if (writer.length > FLUSH) this.#flush(name, writer);
    return writer;
  }

  #flush(name: StreamName, writer: ByteWriter): void {
    this.#spools.get(name)?.write(Buffer.from(writer.bytes()));
    writer.length = 0;
  }

  /** An object as it is; `owner` is that of a content object. */
  addWhole(owner: readonly number[], content: ByteSource): void {
    const steps = this.#writer('steps');
    const code = isProgram(content);
    steps.byte(STEP.whole);
    for (const number of owner) steps.varint(number);
    steps.varint(content.size);
    if (owner.length > 0) steps.byte(code ? FLAG.code : 0);
    this.#literal(code, content, 0, content.size);
  }

  #literal(code: boolean, content: ByteSource, start: number, length: number): void {
    const name = code ? 'code' : 'literal';
    for (let at = 0; at < length; at += PIECE) {
      this.#writer(name).push(content.read(start + at, Math.min(PIECE, length - at)));
    }
  }

  /** A file out of an old one; `stretches` are those of the files as they are. */
  addPatch(
    owner: readonly number[],
    source: Checksum,
    old: ByteSource,
    next: ByteSource,
    stretches: readonly Stretch[],
  ): void {
    const unpacked = this.#unpackKernels(old, next);
    if (unpacked === null) {
      this.#patch(owner, source, old, next, next.size, stretches, null);
      return;
    }
    using before = unpacked.old;
    using after = unpacked.next;
    const whole = before.read(0, before.size);
    const better = bsdiff(whole, after);
    free(whole);
    this.#patch(owner, source, before, after, next.size, better, unpacked.kernels);
  }

  /** Both kernels unpacked, if both files are and the new one packs again to the very same bytes. */
  #unpackKernels(
    old: ByteSource,
    next: ByteSource,
  ): { old: Spool; next: Spool; kernels: [PackedKernel, PackedKernel] } | null {
    const kernels = [findPackedKernel(old), findPackedKernel(next)] as const;
    const [first, second] = kernels;
    if (first === null || second === null) return null;
    let before: Spool | null = null;
    let after: Spool | null = null;
    try {
      after = openUnpacked(next, second, this.#folder, MAX_KERNEL);
      before = openUnpacked(old, first, this.#folder, MAX_KERNEL);
      const inner = after.size - (next.size - second.length);
      let at = second.start;
      for (const block of packKernel(after, inner)) {
        if (at + block.length > second.start + second.length || !next.read(at, block.length).equals(block))
          throw new RangeError('packed otherwise');
        at += block.length;
      }
      if (at !== second.start + second.length) throw new RangeError('packed otherwise');
      return { old: before, next: after, kernels: [first, second] };
    } catch {
      // Damaged, or packed by another program: then the files are compared as they are.
      before?.[Symbol.dispose]();
      after?.[Symbol.dispose]();
      return null;
    }
  }

  #patch(
    owner: readonly number[],
    source: Checksum,
    old: ByteSource,
    next: ByteSource,
    fileSize: number,
    stretches: readonly Stretch[],
    kernels: readonly [PackedKernel, PackedKernel] | null,
  ): void {
    const prediction = predictionFor(old, next, stretches);
    const code = isProgram(next);
    const steps = this.#writer('steps');
    steps.byte(STEP.patch);
    for (const number of owner) steps.varint(number);
    steps.varint(fileSize);
    steps.byte(
      (kernels === null ? 0 : FLAG.kernel) | (prediction === null ? 0 : FLAG.prediction) | (code ? FLAG.code : 0),
    );
    steps.push(checksumToBytes(source));
    if (kernels !== null) {
      for (const kernel of kernels) writeKernel(steps, kernel);
      steps.varint(next.size);
    }
    if (prediction !== null) writePrediction(steps, prediction);
    steps.varint(stretches.length);
    writeStretches(this.#writer('stretches'), stretches);
    let end = 0;
    const predictor =
      prediction === null ? null : new Predictor(old.size, segmentsOf(old), prediction.segments, stretches);
    for (const { from, to, piece } of stretchPieces(stretches)) {
      this.#literal(code, next, end, to - end);
      const guess = Buffer.from(old.read(from, piece));
      if (predictor !== null && prediction !== null) predictor.apply(guess, from, to, prediction);
      this.#differences(guess, next.read(to, piece));
      end = to + piece;
    }
    this.#literal(code, next, end, next.size - end);
  }

  #differences(guess: Buffer, is: Buffer): void {
    const gaps = this.#writer('gaps');
    const values = this.#writer('values');
    let last = -1 - this.#gap;
    for (let i = 0; i < is.length; i++) {
      const difference = ((is[i] ?? 0) - (guess[i] ?? 0)) & 0xff;
      if (difference === 0) continue;
      gaps.varint(i - last - 1);
      values.byte(difference);
      last = i;
    }
    this.#gap = is.length - 1 - last;
  }

  async finish(modes: readonly DeltaMode[], xattrs: readonly (readonly Xattr[])[], fsync: boolean): Promise<BuiltFile> {
    const tables = new ByteWriter();
    const modeTable = encode(
      'a(uuu)',
      modes.map(({ uid, gid, mode }) => [swap32(uid), swap32(gid), swap32(mode)]),
    );
    const xattrTable = encode('aa(ayay)', xattrs.map(xattrsToValue));
    for (const table of [modeTable, xattrTable]) {
      tables.varint(table.length);
      tables.push(table);
    }
    const head = new ByteWriter();
    head.byte(LEAN_KIND);
    head.byte(LEAN_VERSION);
    const packed: Buffer[][] = [];
    for (const name of STREAMS) {
      const writer = this.#writers.get(name);
      if (writer !== undefined) this.#flush(name, writer);
      const spool = this.#spools.get(name);
      if (spool === undefined) continue;
      const before = name === 'steps' ? tables.bytes() : Buffer.alloc(0);
      const size = before.length + spool.size;
      const dictionary = Math.min(MAX_DICTIONARY, Math.max(1 << 16, size));
      const bytes: Buffer[] = [];
      if (size > 0) {
        const options = { preset: 8, nice: NICE, dictionary, x86: name === 'code' };
        for await (const piece of packXz(all(before, spool), options)) bytes.push(piece);
      }
      head.varint(bytes.reduce((sum, { length }) => sum + length, 0));
      head.varint(size);
      packed.push(bytes);
      spool[Symbol.dispose]();
    }
    async function* whole(): AsyncGenerator<Buffer> {
      yield head.bytes();
      for (const stream of packed) yield* stream;
    }
    return await writeBuilt(this.#folder, whole(), fsync);
  }

  [Symbol.dispose](): void {
    for (const spool of this.#spools.values()) spool[Symbol.dispose]();
  }
}

const isProgram = (content: ByteSource): boolean =>
  content.size > 64 && content.read(0, 4).readUInt32BE() === ELF_MAGIC;

function predictionFor(old: ByteSource, next: ByteSource, stretches: readonly Stretch[]): Prediction | null {
  if (!isProgram(old) || !isProgram(next) || old.size > MAX_PREDICTED || next.size > MAX_PREDICTED) return null;
  return learnPrediction(old, next, stretches);
}

function* all(before: Buffer, spool: Spool): Generator<Buffer> {
  if (before.length > 0) yield before;
  for (let at = 0; at < spool.size; at += PIECE) yield spool.read(at, Math.min(PIECE, spool.size - at));
}
