import { corrupt } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import type { FileHeader } from '../objects/file.ts';
import { checkFileMode, isSymlink } from '../objects/mode.ts';
import { breather } from '../progress.ts';
import type { Transaction } from '../repo/transaction.ts';
import { bspatch } from './bspatch.ts';
import { type ByteSource, Room } from './bytes.ts';
import { type OpenContent, openContent } from './open-content.ts';
import { readSteps, type Segment, type Step } from './operations.ts';
import { type DeltaPart, openDeltaPart, type PartFile } from './part.ts';
import { PartSink } from './part-sink.ts';
import type { DeltaPartHeader } from './superblock.ts';

export interface ApplyPartOptions {
  /** False for a part that came within the superblock, whose checksum covers it. */
  verify?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

/** The content up to which an object is put together in memory. */
export const WHOLE_LIMIT = 4 << 20;
const PIECE = 1 << 20;

/** Whether a repository has everything a part would make, so that it need not be fetched. */
export const hasAllPartObjects = (transaction: Transaction, header: DeltaPartHeader): boolean =>
  header.objects.every(({ type, checksum }) => transaction.hasObject(type, checksum));

/** As {@link makePart}, in a transaction, on this thread. */
export async function applyDeltaPart(
  transaction: Transaction,
  header: DeltaPartHeader,
  file: PartFile,
  options: ApplyPartOptions = {},
): Promise<number> {
  return await PartSink.within(transaction, (sink) => makePart(sink, header, file, options));
}

/**
 * Applies one part of a delta: makes its objects, each verified. Objects that are there already are passed over. Throws
 * `corrupt` for a part that is damaged or wrong, and `not-found` when an object it builds upon is missing. Memory stays
 * bounded however large the part is. Returns the bytes of content it wrote.
 */
export async function makePart(
  sink: PartSink,
  header: DeltaPartHeader,
  file: PartFile,
  options: ApplyPartOptions = {},
): Promise<number> {
  if (header.version > 0) throw corrupt(`Delta part has too new version ${header.version}`);
  if (header.objects.length === 0) return 0;
  using part = await openDeltaPart(header, file, { ...options, folder: sink.stageDir });
  using sources = new Sources(sink);
  const breathe = breather(options.signal);
  let written = 0;
  for (const step of readSteps(part, header.objects)) {
    const { object } = step;
    if (!sink.has(object.type, object.checksum)) {
      if (step.kind === 'metadata') writeMetadata(sink, part, step);
      else {
        await writeContent(sink, part, step, sources);
        written += step.size;
      }
    }
    await breathe();
  }
  return written;
}

function writeMetadata(sink: PartSink, part: DeltaPart, step: Extract<Step, { kind: 'metadata' }>): void {
  const { type, checksum } = step.object;
  if (type === 'file') return;
  sink.metadata(type, part.payload.read(step.offset, step.length), checksum);
}

async function writeContent(
  sink: PartSink,
  part: DeltaPart,
  step: Extract<Step, { kind: 'content' }>,
  sources: Sources,
): Promise<void> {
  const owner = part.modes[step.mode];
  const xattrs = part.xattrs[step.xattrs];
  if (owner === undefined || xattrs === undefined) throw corrupt('a delta part names a mode it lacks');
  const header: FileHeader = { ...owner, mode: checkFileMode(owner.mode), target: '', xattrs };
  const { checksum } = step.object;
  if (isSymlink(header.mode)) {
    const [target] = step.segments;
    if (target?.kind !== 'payload') throw corrupt('a delta part makes a symlink of nothing');
    // Stock's own deltas end it with no NUL; what is after one would be lost.
    header.target = part.payload.read(target.offset, target.length).toString().replace(/\0.*$/s, '');
    if (header.target === '') throw corrupt(`Corrupted file object ${checksum}: a symlink without target`);
    await sink.content({ header, size: 0, source: Buffer.alloc(0) }, checksum);
    return;
  }
  const open = await sources.openAll(
    step.segments.flatMap((segment) => (segment.kind === 'payload' ? [] : [segment.source])),
  );
  if (step.size > WHOLE_LIMIT) {
    await sink.content({ header, size: step.size, source: streamed(part, step, open) }, checksum);
    return;
  }
  const made = [...contentPieces(part.payload, step.segments, step.size, open, sources.made)];
  const source = made.length === 1 && made[0] !== undefined ? made[0] : Buffer.concat(made);
  await sink.content({ header, size: step.size, source }, checksum);
}

type Opener = (checksum: Checksum) => ByteSource;

async function* streamed(part: DeltaPart, step: Extract<Step, { kind: 'content' }>, open: Opener) {
  yield* contentPieces(part.payload, step.segments, step.size, open);
}

function* contentPieces(
  payload: ByteSource,
  segments: readonly Segment[],
  size: number,
  open: Opener,
  room?: Room,
): Generator<Buffer> {
  for (const segment of segments) {
    if (segment.kind === 'patch') {
      const patch: ByteSource = {
        size: segment.length,
        read: (offset, length) => {
          if (offset + length > segment.length) throw corrupt('bsdiff patch failed');
          return payload.read(segment.offset + offset, length);
        },
      };
      yield* bspatch(open(segment.source), patch, size, room?.take(size));
      continue;
    }
    const from = segment.kind === 'payload' ? payload : open(segment.source);
    for (let done = 0; done < segment.length; done += PIECE) {
      yield from.read(segment.offset + done, Math.min(PIECE, segment.length - done));
    }
  }
}

/** The objects that the object being made builds upon (one, in all deltas there are), opened for reading anywhere. */
export class Sources implements Disposable {
  readonly #sink: PartSink;
  readonly #opened = new Map<Checksum, OpenContent>();
  readonly #room = new Room();
  /** For one object that is made in memory. */
  readonly made = new Room();

  constructor(sink: PartSink) {
    this.#sink = sink;
  }

  async openAll(checksums: Iterable<Checksum>): Promise<Opener> {
    const wanted = new Set(checksums);
    if ([...this.#opened.keys()].some((checksum) => !wanted.has(checksum))) this[Symbol.dispose]();
    const { repo, stageDir } = this.#sink;
    const room = wanted.size === 1 ? this.#room : undefined;
    for (const checksum of wanted) {
      if (this.#opened.has(checksum)) continue;
      this.#opened.set(checksum, await openContent(repo.loadFile(checksum), stageDir, room));
    }
    return (checksum) => {
      const found = this.#opened.get(checksum);
      if (found === undefined) throw corrupt(`Couldn't find file object '${checksum}'`);
      return found.source;
    };
  }

  [Symbol.dispose](): void {
    for (const { close } of this.#opened.values()) close();
    this.#opened.clear();
  }
}
