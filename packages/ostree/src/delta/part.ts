import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, statfsSync } from 'node:fs';
import { corrupt } from '../error.ts';
import { decode } from '../gvariant/decode.ts';
import { encode } from '../gvariant/encode.ts';
import { offsetSize } from '../gvariant/type.ts';
import { asArray, asNumber, swap32, type Value } from '../gvariant/value.ts';
import type { Checksum } from '../objects/checksum.ts';
import { type Xattr, xattrsFromValue, xattrsToValue } from '../objects/xattrs.ts';
import { type ByteSource, bufferSource, fileSource, readAhead, Spool, sliceSource } from './bytes.ts';
import type { DeltaPartHeader } from './superblock.ts';
import { unpackXz } from './xz.ts';

/** Owner and permissions of content objects, named by number in the operations. */
export interface DeltaMode {
  uid: number;
  gid: number;
  /** With the type bits. */
  mode: number;
}

/** An open delta part: its tables, the bytes objects are made of, and the operations that make them. */
export interface DeltaPart extends Disposable {
  modes: DeltaMode[];
  xattrs: Xattr[][];
  payload: ByteSource;
  operations: Buffer;
}

/** Where a part's file is: on disk, or in memory. */
export type PartFile = { path: string } | Buffer;

/** Tables and operations are read whole, so they have a limit; content may be of any size. */
const MAX_TABLES = 32 << 20;
const MAX_OPERATIONS = 64 << 20;
const PIECE = 1 << 20;

/**
 * How large a part may unpack to, given what its header says it makes: content that is taken over bsdiff streams of
 * short stretches can be several times the objects, but not more.
 */
const unpackLimit = (header: DeltaPartHeader): number => header.usize * 4 + header.objects.length * 4096 + (16 << 20);

function* pieces(source: ByteSource, start: number): Generator<Buffer> {
  for (let at = start; at < source.size; at += PIECE) yield source.read(at, Math.min(PIECE, source.size - at));
}

/**
 * Opens a part: checks the file's checksum (unless the part came within the superblock, which has its own), unpacks it
 * and reads its tables. What is too large for memory lies in a file in `folder`. Throws `corrupt`.
 */
export async function openDeltaPart(
  header: DeltaPartHeader,
  file: PartFile,
  options: { folder: string; verify?: boolean | undefined; signal?: AbortSignal | undefined },
): Promise<DeltaPart> {
  const fd = Buffer.isBuffer(file) ? null : openSync(file.path, 'r');
  try {
    const packed = Buffer.isBuffer(file) ? bufferSource(file) : fileSource(fd ?? -1, fstatSync(fd ?? -1).size);
    if (options.verify !== false) checkPart(packed, header.checksum);
    if (packed.size === 0) throw corrupt('Reading initial compression flag byte: the delta part is empty');
    const kind = packed.read(0, 1)[0] ?? 0;
    const spool = new Spool(options.folder);
    try {
      if (kind === 0) for (const piece of pieces(packed, 1)) spool.write(piece);
      else if (kind === 0x78) {
        const limit = Math.min(unpackLimit(header), freeSpace(options.folder));
        for await (const piece of unpackXz(pieces(packed, 1), limit, options.signal)) spool.write(piece);
      } else throw corrupt(`Invalid compression type '${kind}'`);
      return parsePart(spool);
    } catch (error) {
      spool[Symbol.dispose]();
      throw error;
    }
  } finally {
    if (fd !== null) closeSync(fd);
  }
}

/** Bytes a file in `folder` may take: what a part says of its size is not to fill the disk. */
export function freeSpace(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

/** Throws `corrupt` unless a part's file is the one expected. */
export function checkPart(packed: ByteSource, expected: Checksum): void {
  const hash = createHash('sha256');
  for (const piece of pieces(packed, 0)) hash.update(piece);
  const actual = hash.digest('hex');
  if (actual !== expected) {
    throw corrupt(`Checksum mismatch in static delta part; expected=${expected} actual=${actual}`);
  }
}

/** Reads the tables of an unpacked part, an `(a(uuu)aa(ayay)ayay)` too large to be read as one value. */
export function parsePart(spool: ByteSource & Disposable): DeltaPart {
  const width = spool.size > 0xffffffff ? 8 : offsetSize(spool.size);
  if (width === 0 || spool.size < 3 * width) throw corrupt('malformed delta part');
  const frame = spool.size - 3 * width;
  const ends = spool.read(frame, 3 * width);
  const end = (i: number): number =>
    width === 8 ? Number(ends.readBigUInt64LE(i * width)) : ends.readUIntLE(i * width, width);
  // The last framing offset is the first member's.
  const [payloadEnd, xattrsEnd, modesEnd] = [end(0), end(1), end(2)];
  if (modesEnd > xattrsEnd || xattrsEnd > payloadEnd || payloadEnd > frame) throw corrupt('malformed delta part');
  if (xattrsEnd > MAX_TABLES || frame - payloadEnd > MAX_OPERATIONS)
    throw corrupt('the tables of a delta part are too large');
  const modes = asArray(decode('a(uuu)', spool.read(0, modesEnd))).map((entry) => {
    const [uid, gid, mode] = asArray(entry);
    return { uid: swap32(asNumber(uid)), gid: swap32(asNumber(gid)), mode: swap32(asNumber(mode)) };
  });
  const xattrs = asArray(decode('aa(ayay)', spool.read(modesEnd, xattrsEnd - modesEnd)));
  return {
    modes,
    xattrs: xattrs.map(xattrsFromValue),
    payload: readAhead(sliceSource(spool, xattrsEnd, payloadEnd - xattrsEnd)),
    operations: spool.read(payloadEnd, frame - payloadEnd),
    [Symbol.dispose]: () => spool[Symbol.dispose](),
  };
}

/** The bytes of an unpacked part, piece by piece. */
export function* serializePart(
  modes: readonly DeltaMode[],
  xattrs: readonly (readonly Xattr[])[],
  payload: ByteSource,
  operations: Buffer,
): Generator<Buffer> {
  const modeTable: Value = modes.map(({ uid, gid, mode }) => [swap32(uid), swap32(gid), swap32(mode)]);
  const tables = [encode('a(uuu)', modeTable), encode('aa(ayay)', xattrs.map(xattrsToValue))];
  const [modesEnd, xattrsEnd] = [tables[0]?.length ?? 0, tables.reduce((sum, table) => sum + table.length, 0)];
  const payloadEnd = xattrsEnd + payload.size;
  const body = payloadEnd + operations.length;
  // The width of the framing offsets depends on the whole, offsets included.
  const width = ([1, 2, 4, 8] as const).find((bytes) => body + 3 * bytes < 2 ** (8 * bytes)) ?? 8;
  const frame = Buffer.alloc(3 * width);
  [payloadEnd, xattrsEnd, modesEnd].forEach((end, i) => {
    if (width === 8) frame.writeBigUInt64LE(BigInt(end), i * width);
    else frame.writeUIntLE(end, i * width, width);
  });
  yield* tables;
  yield* pieces(payload, 0);
  yield operations;
  yield frame;
}
