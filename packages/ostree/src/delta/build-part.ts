import { rmSync } from 'node:fs';
import { AtomicError } from '../error.ts';
import { encode } from '../gvariant/encode.ts';
import { checksumToBytes } from '../objects/checksum.ts';
import type { FileHeader } from '../objects/file.ts';
import { isSymlink } from '../objects/mode.ts';
import { type Xattr, xattrsToValue } from '../objects/xattrs.ts';
import type { Repo } from '../repo/repo.ts';
import { bsdiff, bsdiffStream } from './bsdiff.ts';
import { type ByteSource, bufferSource, free, Spool } from './bytes.ts';
import { LeanBuilder } from './lean-build.ts';
import { openContent } from './open-content.ts';
import { type DeltaMode, serializePart } from './part.ts';
import type { PlannedObject } from './plan.ts';
import { matchBlocks } from './rollsum.ts';
import type { DeltaPartHeader } from './superblock.ts';
import { ByteWriter } from './varint.ts';
import { type BuiltFile, writeBuilt } from './write-built.ts';
import { packXz } from './xz.ts';

export interface BuildPartOptions {
  /** Old and new content together may be so many bytes to be compared byte by byte; 0 for never. */
  maxBsdiffSize: number;
  /** Where the part's file is made. */
  folder: string;
  /** Make the lean part too. */
  lean: boolean;
}

/** A part as it was made: its file under a name of its own, not yet flushed to disk. */
export interface BuiltPart {
  path: string;
  lean: BuiltFile | null;
  header: DeltaPartHeader;
  bsdiff: number;
  rollsum: number;
  /** Bytes that need not be sent since they are in old objects, by blocks. */
  rollsumSize: number;
}

const PIECE = 1 << 20;
/** Bytes of a part that count as few. */
const SMALL_PART = 8 << 20;
/** The packer's memory is eleven times its dictionary; twice this much gains a thousandth. */
const MAX_DICTIONARY = 4 << 20;

/** Makes a part out of objects: their tables, content and operations, packed into a file. */
export async function buildPart(
  repo: Repo,
  objects: readonly PlannedObject[],
  options: BuildPartOptions,
): Promise<BuiltPart> {
  using builder = new PartBuilder(repo, options);
  for (const object of objects) await builder.add(object);
  return await builder.finish(objects);
}

class PartBuilder implements Disposable {
  readonly #repo: Repo;
  readonly #options: BuildPartOptions;
  readonly #payload: Spool;
  readonly #lean: LeanBuilder | null;
  readonly #operations = new ByteWriter();
  readonly #modes = new Table<DeltaMode>();
  readonly #xattrs = new Table<readonly Xattr[]>();
  #usize = 0;
  #bsdiff = 0;
  #rollsum = 0;
  #rollsumSize = 0;

  constructor(repo: Repo, options: BuildPartOptions) {
    this.#repo = repo;
    this.#options = options;
    this.#payload = new Spool(options.folder);
    this.#lean = options.lean ? new LeanBuilder(options.folder) : null;
  }

  async add(object: PlannedObject): Promise<void> {
    if (object.type !== 'file') {
      const bytes = this.#repo.loadObject(object.type, object.checksum);
      this.#usize += bytes.length;
      this.#op('S', bytes.length, this.#push(bytes));
      this.#lean?.addWhole([], bufferSource(bytes));
      return;
    }
    const file = this.#repo.loadFile(object.checksum);
    const { header } = file;
    const owner = this.#owner(header);
    if (isSymlink(header.mode)) {
      const target = Buffer.from(header.target);
      this.#op('S', ...owner, target.length, this.#push(target));
      this.#lean?.addWhole(owner, bufferSource(target));
      return;
    }
    this.#usize += file.size;
    const opened = await openContent(file, this.#options.folder);
    try {
      if (object.from === null || !(await this.#addFrom(object.from, opened.source, owner))) {
        const offset = this.#payload.size;
        for (const piece of pieces(opened.source, 0, file.size)) this.#push(piece);
        this.#op('S', ...owner, file.size, offset);
        this.#lean?.addWhole(owner, opened.source);
      }
    } finally {
      opened.close();
    }
  }

  #owner({ uid, gid, mode, xattrs }: FileHeader): [number, number] {
    return [
      this.#modes.number(`${uid}:${gid}:${mode}`, { uid, gid, mode }),
      this.#xattrs.number(encode('a(ayay)', xattrsToValue(xattrs)).toString('latin1'), xattrs),
    ];
  }

  /** Describes content by an old object's; false when that would not be shorter. */
  async #addFrom(from: string, next: ByteSource, owner: [number, number]): Promise<boolean> {
    const { source: old, close } = await openContent(this.#repo.loadFile(from), this.#options.folder);
    try {
      const small = old.size + next.size <= this.#options.maxBsdiffSize;
      return small ? this.#addPatch(from, old, next, owner) : this.#addBlocks(from, old, next, owner);
    } finally {
      close();
    }
  }

  #addPatch(from: string, old: ByteSource, next: ByteSource, owner: [number, number]): boolean {
    const before = old.read(0, old.size);
    const after = next.read(0, next.size);
    const stretches = bsdiff(before, bufferSource(after));
    const covered = stretches.reduce((sum, { length }) => sum + length, 0);
    if (covered * 8 < after.length) return false;
    this.#op('r', this.#push(checksumToBytes(from)));
    this.#op('o', ...owner, after.length);
    const start = this.#payload.size;
    for (const piece of bsdiffStream(before, after, stretches)) this.#push(piece);
    this.#op('B', start, this.#payload.size - start);
    this.#op('c');
    this.#lean?.addPatch(owner, from, bufferSource(before), bufferSource(after), stretches);
    free(before);
    free(after);
    this.#bsdiff++;
    return true;
  }

  #addBlocks(from: string, old: ByteSource, next: ByteSource, owner: [number, number]): boolean {
    const blocks = matchBlocks(old, next);
    const matched = blocks.reduce((sum, block) => sum + (block.from === null ? 0 : block.length), 0);
    if (matched * 2 < next.size) return false;
    const source = this.#push(checksumToBytes(from));
    this.#op('o', ...owner, next.size);
    let reading = false;
    for (const block of blocks) {
      if (reading !== (block.from !== null)) {
        reading = !reading;
        if (reading) this.#op('r', source);
        else this.#op('R');
      }
      if (block.from !== null) this.#op('w', block.length, block.from);
      else {
        const offset = this.#payload.size;
        for (const piece of pieces(next, block.to, block.length)) this.#push(piece);
        this.#op('w', block.length, offset);
      }
    }
    this.#op('c');
    const stretches = blocks.flatMap((block) =>
      block.from === null ? [] : [{ to: block.to, from: block.from, length: block.length }],
    );
    this.#lean?.addPatch(owner, from, old, next, stretches);
    this.#rollsum++;
    this.#rollsumSize += matched;
    return true;
  }

  #push(bytes: Buffer): number {
    const offset = this.#payload.size;
    this.#payload.write(bytes);
    return offset;
  }

  #op(code: string, ...numbers: number[]): void {
    this.#operations.byte(code.charCodeAt(0));
    for (const number of numbers) this.#operations.varint(number);
  }

  async finish(objects: readonly PlannedObject[]): Promise<BuiltPart> {
    const pack = (): Promise<BuiltFile> => this.#pack();
    const packLean = (): Promise<BuiltFile | null> =>
      this.#lean?.finish(this.#modes.values, this.#xattrs.values, this.#repo.fsync) ?? Promise.resolve(null);
    // Side by side where that takes little memory.
    const small = this.#payload.size <= SMALL_PART;
    const [part, lean] = small
      ? await Promise.allSettled([pack(), packLean()])
      : [...(await Promise.allSettled([pack()])), ...(await Promise.allSettled([packLean()]))];
    if (part.status === 'fulfilled' && lean.status === 'fulfilled') {
      const { path, checksum, size } = part.value;
      return {
        path,
        lean: lean.value,
        header: {
          version: 0,
          checksum,
          size,
          usize: this.#usize,
          objects: objects.map((object) => ({ type: object.type, checksum: object.checksum })),
        },
        bsdiff: this.#bsdiff,
        rollsum: this.#rollsum,
        rollsumSize: this.#rollsumSize,
      };
    }
    for (const file of [part, lean]) {
      if (file.status === 'fulfilled' && file.value !== null) rmSync(file.value.path, { force: true });
    }
    throw part.status === 'rejected' ? part.reason : lean.status === 'rejected' ? lean.reason : null;
  }

  async #pack(): Promise<BuiltFile> {
    const unpacked = serializePart(this.#modes.values, this.#xattrs.values, this.#payload, this.#operations.bytes());
    // As xz's preset 8, which is stock's choice, but with no more memory than there is data; with more care for little.
    const dictionary = Math.min(MAX_DICTIONARY, Math.max(1 << 16, this.#payload.size + (1 << 16)));
    const nice = this.#payload.size <= SMALL_PART ? 80 : 64;
    async function* whole(): AsyncGenerator<Buffer> {
      yield Buffer.from('x');
      yield* packXz(unpacked, { preset: 8, nice, dictionary });
    }
    return await writeBuilt(this.#options.folder, whole(), this.#repo.fsync);
  }

  [Symbol.dispose](): void {
    this.#payload[Symbol.dispose]();
    this.#lean?.[Symbol.dispose]();
  }
}

function* pieces(source: ByteSource, start: number, length: number): Generator<Buffer> {
  for (let at = 0; at < length; at += PIECE) yield source.read(start + at, Math.min(PIECE, length - at));
}

/** Values that the operations name by number, each kept once. */
class Table<T> {
  readonly values: T[] = [];
  readonly #numbers = new Map<string, number>();

  number(key: string, value: T): number {
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    this.#numbers.set(key, this.values.length);
    if (this.values.length >= 1 << 20) throw new AtomicError('invalid', 'too many owners or attributes for one part');
    this.values.push(value);
    return this.values.length - 1;
  }
}
