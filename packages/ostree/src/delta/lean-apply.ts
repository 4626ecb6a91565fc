import { closeSync, fstatSync, openSync } from 'node:fs';
import { corrupt } from '../error.ts';
import { decode } from '../gvariant/decode.ts';
import { asArray, asNumber, swap32 } from '../gvariant/value.ts';
import type { Checksum } from '../objects/checksum.ts';
import type { FileHeader } from '../objects/file.ts';
import { checkFileMode, isSymlink } from '../objects/mode.ts';
import { type Xattr, xattrsFromValue } from '../objects/xattrs.ts';
import { breather } from '../progress.ts';
import type { Transaction } from '../repo/transaction.ts';
import { type ApplyPartOptions, Sources, WHOLE_LIMIT } from './apply-part.ts';
import type { Stretch } from './bsdiff.ts';
import { type ByteSource, bufferSource, fileSource, Spool, sliceSource } from './bytes.ts';
import { type PackedKernel, packKernel } from './kernel-image.ts';
import {
  FLAG,
  LEAN_KIND,
  LEAN_VERSION,
  type LeanPart,
  readKernel,
  readPrediction,
  readStretches,
  STEP,
  STREAMS,
  type StreamName,
  StreamReader,
} from './lean-format.ts';
import { checkPart, type DeltaMode, freeSpace, type PartFile } from './part.ts';
import { PartSink } from './part-sink.ts';
import { MAX_PREDICTED, type Prediction, Predictor, segmentsOf, stretchPieces } from './predict.ts';
import type { DeltaObject, DeltaPartHeader } from './superblock.ts';
import { openUnpacked } from './unpacked-kernel.ts';
import { VarintReader } from './varint.ts';
import { unpackXz } from './xz.ts';

const PIECE = 1 << 20;
const MAX_TABLE = 32 << 20;
/** An unpacked kernel is a tenth of this. */
const MAX_KERNEL = 256 << 20;
/** No stretch is described in less than this many bytes, so there cannot be more than the stream has room for. */
const MIN_STRETCH = 3;

/** As {@link makeLeanPart}, in a transaction, on this thread. */
export async function applyLeanPart(
  transaction: Transaction,
  header: DeltaPartHeader,
  lean: LeanPart,
  file: PartFile,
  options: ApplyPartOptions = {},
): Promise<number> {
  return await PartSink.within(transaction, (sink) => makeLeanPart(sink, header, lean, file, options));
}

/**
 * Applies a lean part instead of the part it stands beside, `header`, whose objects it makes. As with any part, each
 * object is verified. Returns the bytes of content it wrote. Throws `corrupt` and `unsupported`, upon which the other part is to be used.
 */
export async function makeLeanPart(
  sink: PartSink,
  header: DeltaPartHeader,
  lean: LeanPart,
  file: PartFile,
  options: ApplyPartOptions = {},
): Promise<number> {
  const fd = Buffer.isBuffer(file) ? null : openSync(file.path, 'r');
  const spools: Spool[] = [];
  try {
    const packed = Buffer.isBuffer(file) ? bufferSource(file) : fileSource(fd ?? -1, fstatSync(fd ?? -1).size);
    checkPart(packed, lean.checksum);
    const streams = await openStreams(packed, header, sink.stageDir, spools, options.signal);
    return await new LeanReader(sink, header, streams).run(options.signal);
  } finally {
    for (const spool of spools) spool[Symbol.dispose]();
    if (fd !== null) closeSync(fd);
  }
}

async function openStreams(
  packed: ByteSource,
  header: DeltaPartHeader,
  folder: string,
  spools: Spool[],
  signal: AbortSignal | undefined,
): Promise<Map<StreamName, StreamReader>> {
  const head = new VarintReader(packed.read(0, Math.min(packed.size, 256)));
  if (head.byte() !== LEAN_KIND || head.byte() !== LEAN_VERSION) throw corrupt('this is no lean delta part');
  const lengths = STREAMS.map((name) => ({ name, packed: head.read(), size: head.read() }));
  let at = head.at;
  // Streams of content cannot be longer than the content, the others not much.
  const limit = Math.min(header.usize * 2 + header.objects.length * 4096 + (1 << 20), freeSpace(folder));
  const readers = new Map<StreamName, StreamReader>();
  for (const { name, packed: length, size } of lengths) {
    if (size > limit) throw corrupt(`a lean delta part unpacks to ${size} bytes`);
    const spool = new Spool(folder);
    spools.push(spool);
    const stream = sliceSource(packed, at, length);
    at += length;
    if (size > 0) for await (const piece of unpackXz(pieces(stream), size, signal)) spool.write(piece);
    if (spool.size !== size) throw corrupt('a lean delta part is cut short');
    readers.set(name, new StreamReader(spool));
  }
  return readers;
}

function* pieces(source: ByteSource): Generator<Buffer> {
  for (let at = 0; at < source.size; at += PIECE) yield source.read(at, Math.min(PIECE, source.size - at));
}

interface Patch {
  old: ByteSource;
  newSize: number;
  stretches: Stretch[];
  prediction: Prediction | null;
  literal: StreamReader;
}

/** Makes the objects of a lean part, in the order of its streams. */
class LeanReader {
  readonly #sink: PartSink;
  readonly #header: DeltaPartHeader;
  readonly #streams: ReadonlyMap<StreamName, StreamReader>;
  readonly #modes: DeltaMode[];
  readonly #xattrs: Xattr[][];
  /** Bytes until the next that differs from what was foretold. */
  #gap = -1;
  #made = 0;
  #written = 0;

  constructor(sink: PartSink, header: DeltaPartHeader, streams: ReadonlyMap<StreamName, StreamReader>) {
    this.#sink = sink;
    this.#header = header;
    this.#streams = streams;
    const table = (): Buffer => {
      const length = this.#stream('steps').varint();
      if (length > MAX_TABLE) throw corrupt('the tables of a delta part are too large');
      return this.#stream('steps').take(length);
    };
    this.#modes = asArray(decode('a(uuu)', table())).map((entry) => {
      const [uid, gid, mode] = asArray(entry);
      return { uid: swap32(asNumber(uid)), gid: swap32(asNumber(gid)), mode: swap32(asNumber(mode)) };
    });
    this.#xattrs = asArray(decode('aa(ayay)', table())).map(xattrsFromValue);
  }

  #stream(name: StreamName): StreamReader {
    const stream = this.#streams.get(name);
    if (stream === undefined) throw corrupt('a lean delta part lacks a stream');
    return stream;
  }

  /** Returns the bytes of content that were written. */
  async run(signal: AbortSignal | undefined): Promise<number> {
    using sources = new Sources(this.#sink);
    const breathe = breather(signal);
    for (const object of this.#header.objects) {
      if (object.type === 'file') await this.#file(object, sources);
      else this.#metadata(object);
      await breathe();
    }
    if (!this.#stream('steps').done) throw corrupt('a lean delta part does not make the objects it lists');
    return this.#written;
  }

  #count(size: number): number {
    this.#made += size;
    if (this.#made > this.#header.usize) throw corrupt('a delta part makes more than it says');
    return size;
  }

  #metadata({ type, checksum }: DeltaObject): void {
    const steps = this.#stream('steps');
    if (type === 'file' || steps.byte() !== STEP.whole) throw corrupt('a lean delta part is malformed');
    const bytes = this.#stream('literal').take(this.#count(steps.varint()));
    if (!this.#sink.has(type, checksum)) this.#sink.metadata(type, bytes, checksum);
  }

  #owner(): FileHeader {
    const steps = this.#stream('steps');
    const owner = this.#modes[steps.varint()];
    const xattrs = this.#xattrs[steps.varint()];
    if (owner === undefined || xattrs === undefined) throw corrupt('a delta part names a mode it lacks');
    return { ...owner, mode: checkFileMode(owner.mode), target: '', xattrs };
  }

  async #file({ checksum }: DeltaObject, sources: Sources): Promise<void> {
    const steps = this.#stream('steps');
    const kind = steps.byte();
    const header = this.#owner();
    const size = steps.varint();
    const flags = steps.byte();
    const literal = this.#stream((flags & FLAG.code) !== 0 ? 'code' : 'literal');
    if (isSymlink(header.mode)) {
      if (kind !== STEP.whole || size > 65_536) throw corrupt('a lean delta part makes a symlink of nothing');
      header.target = literal.take(size).toString();
      if (header.target === '') throw corrupt(`Corrupted file object ${checksum}: a symlink without target`);
      await this.#sink.content({ header, size: 0, source: Buffer.alloc(0) }, checksum);
      return;
    }
    this.#count(size);
    if (kind === STEP.whole) await this.#write(header, checksum, size, literalPieces(literal, size));
    else if (kind === STEP.patch) await this.#patched(header, checksum, size, flags, literal, sources);
    else throw corrupt('a lean delta part is malformed');
  }

  async #patched(
    header: FileHeader,
    checksum: Checksum,
    size: number,
    flags: number,
    literal: StreamReader,
    sources: Sources,
  ): Promise<void> {
    const steps = this.#stream('steps');
    const source = steps.take(32).toString('hex');
    const file = (await sources.openAll([source]))(source);
    if ((flags & FLAG.kernel) === 0) {
      await this.#write(header, checksum, size, this.#patch(this.#readPatch(file, size, flags, literal)));
      return;
    }
    const kernels = { old: readKernel(steps, file.size), next: readKernel(steps, size) };
    const newSize = steps.varint();
    if (newSize > MAX_KERNEL) throw corrupt('a packed kernel is too large');
    using old = openUnpacked(file, kernels.old, this.#sink.stageDir, MAX_KERNEL);
    using next = new Spool(this.#sink.stageDir);
    for (const piece of this.#patch(this.#readPatch(old, newSize, flags, literal))) next.write(piece);
    await this.#write(header, checksum, size, repacked(next, kernels.next, size));
  }

  #readPatch(old: ByteSource, newSize: number, flags: number, literal: StreamReader): Patch {
    const steps = this.#stream('steps');
    const prediction = (flags & FLAG.prediction) === 0 ? null : readPrediction(steps);
    if (prediction !== null && old.size > MAX_PREDICTED) throw corrupt('a delta foretells a file that is too large');
    const count = steps.varint();
    if (count > (this.#header.usize + MAX_KERNEL) / MIN_STRETCH) throw corrupt('a lean delta part is malformed');
    return {
      old,
      newSize,
      stretches: readStretches(this.#stream('stretches'), count, old.size, newSize),
      prediction,
      literal,
    };
  }

  *#patch({ old, newSize, stretches, prediction, literal }: Patch): Generator<Buffer> {
    const predictor =
      prediction === null ? null : new Predictor(old.size, segmentsOf(old), prediction.segments, stretches);
    let end = 0;
    for (const { from, to, piece } of stretchPieces(stretches)) {
      yield* literalPieces(literal, to - end);
      const bytes = Buffer.from(old.read(from, piece));
      if (predictor !== null && prediction !== null) predictor.apply(bytes, from, to, prediction);
      this.#correct(bytes);
      yield bytes;
      end = to + piece;
    }
    yield* literalPieces(literal, newSize - end);
  }

  /** Adds the differences to what was foretold. */
  #correct(bytes: Buffer): void {
    const gaps = this.#stream('gaps');
    const values = this.#stream('values');
    for (let at = 0; ; ) {
      if (this.#gap < 0) this.#gap = gaps.done ? Number.MAX_SAFE_INTEGER : gaps.varint();
      if (this.#gap >= bytes.length - at) {
        this.#gap -= bytes.length - at;
        return;
      }
      at += this.#gap;
      bytes[at] = ((bytes[at] ?? 0) + values.byte()) & 0xff;
      at++;
      this.#gap = -1;
    }
  }

  /** Writes an object; when it is there already, its pieces are made all the same, since the streams go on behind them. */
  async #write(header: FileHeader, checksum: Checksum, size: number, content: Generator<Buffer>): Promise<void> {
    if (this.#sink.has('file', checksum)) {
      for (const _piece of content);
      return;
    }
    this.#written += size;
    if (size > WHOLE_LIMIT) {
      await this.#sink.content({ header, size, source: streamed(content) }, checksum);
      return;
    }
    const made = [...content];
    const source = made.length === 1 && made[0] !== undefined ? made[0] : Buffer.concat(made);
    await this.#sink.content({ header, size, source }, checksum);
  }
}

async function* streamed(content: Generator<Buffer>) {
  yield* content;
}

function* literalPieces(literal: StreamReader, length: number): Generator<Buffer> {
  if (length < 0) throw corrupt('a lean delta part is malformed');
  for (let done = 0; done < length; done += PIECE) yield literal.take(Math.min(PIECE, length - done));
}

/** A kernel image put together again: what stands before the kernel, the kernel packed, what stands behind. */
function* repacked(content: ByteSource, { start, length }: PackedKernel, size: number): Generator<Buffer> {
  const inner = content.size - (size - length);
  if (inner < 0) throw corrupt('a packed kernel is malformed');
  yield content.read(inner, start);
  yield* packKernel(content, inner);
  yield content.read(inner + start, size - start - length);
}
