import { corrupt } from '../error.ts';
import { decode } from '../gvariant/decode.ts';
import { encode } from '../gvariant/encode.ts';
import {
  asArray,
  asBigint,
  asBytes,
  asNumber,
  asString,
  asVariant,
  swap32,
  swap64,
  type Value,
} from '../gvariant/value.ts';
import { encodeVardict, type Metadata, metadataFromValue, metadataToValue } from '../gvariant/vardict.ts';
import { type Checksum, checksumFromBytes, checksumToBytes } from '../objects/checksum.ts';
import { COMMIT_TYPE } from '../objects/commit.ts';
import type { ObjectType } from '../objects/type.ts';
import { LEAN_KEY, LEAN_KEY_TYPE, type LeanPart } from './lean-format.ts';
import { type DeltaName, deltaPath } from './names.ts';

/*
 * Formats: libostree's ostree-repo-static-delta-private.h. By a mistake of long ago the numbers of part headers and
 * fallbacks are in the byte order of the machine that made the delta; `ostree.endianness` says which that was.
 */
const PART_HEADER_TYPE = '(uayttay)';
const FALLBACK_TYPE = '(yaytt)';
const SUPERBLOCK_TYPE = `(a{sv}tayay${COMMIT_TYPE}aya${PART_HEADER_TYPE}a${FALLBACK_TYPE})`;
const SIGNED_TYPE = '(taya{sv})';
/** `OSTSGNDT`, which begins a signed superblock. */
const SIGNED_MAGIC = Buffer.from('OSTSGNDT');
/** One object in a part header: a byte of type and the digest. */
const OBJECT_SIZE = 33;

export type DeltaObjectType = Extract<ObjectType, 'file' | 'dirtree' | 'dirmeta' | 'commit'>;

export interface DeltaObject {
  type: DeltaObjectType;
  checksum: Checksum;
}

export interface DeltaPartHeader {
  version: number;
  /** Of the whole part file. */
  checksum: Checksum;
  /** Bytes of the part file, and of the objects it makes. */
  size: number;
  usize: number;
  /** What the part makes, in its order. */
  objects: DeltaObject[];
}

/** An object that is not in the delta and is to be fetched by itself; sizes in bytes, packed and not. */
export interface DeltaFallback {
  type: DeltaObjectType;
  checksum: Checksum;
  size: number;
  usize: number;
}

export type Endianness = 'little' | 'big';

export interface DeltaSuperblock extends DeltaName {
  metadata: Metadata;
  /** Unix time in seconds. */
  timestamp: bigint;
  /** The commit object `to`, and its detached metadata (an `a{sv}`) if the delta brings some. */
  commit: Buffer;
  commitMeta: Buffer | null;
  /** How many deltas are to be applied before (no tool makes such). */
  recursion: number;
  parts: DeltaPartHeader[];
  fallbacks: DeltaFallback[];
  /** The byte order of the part headers; null when nothing tells. */
  endianness: Endianness | null;
  /** The order was guessed from sizes that make no sense otherwise. */
  heuristic: boolean;
  signed: boolean;
  /** The lean parts beside the parts, if the delta has such: see lean-format.ts. */
  lean: LeanPart[] | null;
  /** A part that lies within the superblock: the bytes of its file, or null. */
  inlinePart(index: number): Buffer | null;
}

const OBJECT_CODES: readonly [number, DeltaObjectType][] = [
  [1, 'file'],
  [2, 'dirtree'],
  [3, 'dirmeta'],
  [4, 'commit'],
];
const codeOf = new Map(OBJECT_CODES.map(([code, type]) => [type, code]));
const typeOf = new Map(OBJECT_CODES);

function objectType(code: number | undefined): DeltaObjectType {
  const type = typeOf.get(code ?? -1);
  if (type === undefined) throw corrupt(`Invalid object type '${code}'`);
  return type;
}

function parseObjects(bytes: Buffer): DeltaObject[] {
  if (bytes.length % OBJECT_SIZE !== 0) throw corrupt(`Invalid checksum array length ${bytes.length}`);
  const objects: DeltaObject[] = [];
  for (let at = 0; at < bytes.length; at += OBJECT_SIZE) {
    objects.push({ type: objectType(bytes[at]), checksum: bytes.toString('hex', at + 1, at + OBJECT_SIZE) });
  }
  return objects;
}

/** The objects of a part as a superblock lists them. */
export function serializeObjects(objects: readonly DeltaObject[]): Buffer {
  const bytes = Buffer.alloc(objects.length * OBJECT_SIZE);
  objects.forEach(({ type, checksum }, i) => {
    bytes[i * OBJECT_SIZE] = codeOf.get(type) ?? 0;
    bytes.write(checksum, i * OBJECT_SIZE + 1, 'hex');
  });
  return bytes;
}

interface RawHeader {
  version: number;
  checksum: Buffer;
  size: bigint;
  usize: bigint;
  objects: DeltaObject[];
}

/** Sizes no delta has mean that they were written in the other byte order. */
function looksSwapped(headers: readonly RawHeader[]): boolean {
  let size = 0n;
  let objects = 0n;
  for (const header of headers) {
    if (header.size > header.usize && Number(header.size) > 1.2 * Number(header.usize)) return true;
    size += header.size;
    objects += BigInt(header.objects.length);
  }
  return objects > 0n && size / objects > 0xffffffffn;
}

const size = (value: bigint): number => {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw corrupt(`a delta claims ${value} bytes`);
  return Number(value);
};

/** The signed bytes and the signatures of a signed superblock, or null for any other file. */
export function parseSignedDelta(bytes: Buffer): { superblock: Buffer; signatures: Metadata } | null {
  if (bytes.length < 8 || !bytes.subarray(0, 8).equals(SIGNED_MAGIC)) return null;
  const [, superblock, signatures] = asArray(decode(SIGNED_TYPE, bytes));
  return { superblock: asBytes(superblock), signatures: metadataFromValue(signatures) };
}

/** A superblock with its signatures around it. */
export function serializeSignedDelta(superblock: Buffer, signatures: Metadata): Buffer {
  return encode(SIGNED_TYPE, [SIGNED_MAGIC.readBigUInt64LE(), superblock, metadataToValue(signatures)]);
}

/** Reads a delta's superblock, signed or not (no signature is checked here); throws `corrupt`. */
export function parseSuperblock(bytes: Buffer): DeltaSuperblock {
  const signed = parseSignedDelta(bytes);
  const fields = asArray(decode(SUPERBLOCK_TYPE, signed?.superblock ?? bytes));
  const metadata = metadataFromValue(fields[0]);
  const fromBytes = asBytes(fields[2]);
  const name = {
    from: fromBytes.length === 0 ? null : checksumFromBytes(fromBytes),
    to: checksumFromBytes(asBytes(fields[3])),
  };
  const raw = asArray(fields[6]).map((header): RawHeader => {
    const [version, checksum, packed, unpacked, objects] = asArray(header);
    return {
      version: asNumber(version),
      checksum: asBytes(checksum),
      size: asBigint(packed),
      usize: asBigint(unpacked),
      objects: parseObjects(asBytes(objects)),
    };
  });
  const said = metadata.get('ostree.endianness')?.value;
  const heuristic = typeof said !== 'number';
  let endianness: Endianness | null = null;
  if (!heuristic) endianness = said === 0x6c ? 'little' : said === 0x42 ? 'big' : null;
  else if (looksSwapped(raw)) endianness = 'big';
  const swapped = endianness === 'big';
  const u32 = (value: number) => (swapped ? swap32(value) : value);
  const u64 = (value: bigint) => size(swapped ? swap64(value) : value);
  const commitMeta = metadata.get(deltaPath(name, 'commitmeta'));
  return {
    ...name,
    metadata,
    timestamp: swap64(asBigint(fields[1])),
    commit: encode(COMMIT_TYPE, fields[4] ?? null),
    commitMeta: commitMeta?.type === 'a{sv}' ? encode('a{sv}', commitMeta.value) : null,
    recursion: Math.floor(asBytes(fields[5]).length / 64),
    parts: raw.map((header) => ({
      version: u32(header.version),
      checksum: checksumFromBytes(header.checksum),
      size: u64(header.size),
      usize: u64(header.usize),
      objects: header.objects,
    })),
    fallbacks: asArray(fields[7]).map((entry) => {
      const [type, checksum, packed, unpacked] = asArray(entry);
      return {
        type: objectType(asNumber(type)),
        checksum: checksumFromBytes(asBytes(checksum)),
        size: u64(asBigint(packed)),
        usize: u64(asBigint(unpacked)),
      };
    }),
    endianness,
    heuristic,
    signed: signed !== null,
    lean: parseLean(metadata, raw.length),
    inlinePart: (index) => {
      const part = metadata.get(deltaPath(name, String(index)));
      if (part?.type !== '(yay)') return null;
      const [kind, data] = asArray(part.value);
      return Buffer.concat([Buffer.from([asNumber(kind)]), asBytes(data)]);
    },
  };
}

/** Reads `atomic.parts.v1`; null when it is not there, or does not fit the parts. */
function parseLean(metadata: Metadata, count: number): LeanPart[] | null {
  const found = metadata.get(LEAN_KEY);
  if (found?.type !== LEAN_KEY_TYPE) return null;
  const lean = asArray(found.value).map((entry) => {
    const [checksum, bytes] = asArray(entry);
    return { checksum: checksumFromBytes(asBytes(checksum)), size: size(swap64(asBigint(bytes))) };
  });
  return lean.length === count ? lean : null;
}

export interface NewSuperblock extends DeltaName {
  /** Comes first in the file, which is where programs look for a kind of file. */
  metadata?: Metadata | undefined;
  timestamp: number;
  commit: Buffer;
  commitMeta: Buffer | null;
  parts: readonly DeltaPartHeader[];
  fallbacks: readonly DeltaFallback[];
  endianness: Endianness;
  lean: readonly LeanPart[] | null;
  /** Bytes of the part files, when they are to lie within. */
  inline: readonly Buffer[] | null;
}

/** Serialises a superblock. */
export function serializeSuperblock(block: NewSuperblock): Buffer {
  const swapped = block.endianness === 'big';
  const u32 = (value: number): Value => (swapped ? swap32(value) : value);
  const u64 = (value: number): Value => (swapped ? swap64(BigInt(value)) : BigInt(value));
  const metadata: Metadata = new Map(block.metadata ?? []);
  metadata.set('ostree.endianness', { type: 'y', value: swapped ? 0x42 : 0x6c });
  if (block.lean !== null) {
    // Big-endian, whatever the rest is.
    const value = block.lean.map((part) => [checksumToBytes(part.checksum), swap64(BigInt(part.size))]);
    metadata.set(LEAN_KEY, { type: LEAN_KEY_TYPE, value });
  }
  block.inline?.forEach((part, i) => {
    metadata.set(deltaPath(block, String(i)), { type: '(yay)', value: [part[0] ?? 0, part.subarray(1)] });
  });
  if (block.commitMeta !== null) {
    metadata.set(deltaPath(block, 'commitmeta'), { type: 'a{sv}', value: decode('a{sv}', block.commitMeta) });
  }
  return encode(SUPERBLOCK_TYPE, [
    metadataToValue(metadata),
    swap64(BigInt(block.timestamp)),
    block.from === null ? Buffer.alloc(0) : checksumToBytes(block.from),
    checksumToBytes(block.to),
    decode(COMMIT_TYPE, block.commit),
    Buffer.alloc(0),
    block.parts.map((part) => [
      u32(part.version),
      checksumToBytes(part.checksum),
      u64(part.size),
      u64(part.usize),
      serializeObjects(part.objects),
    ]),
    block.fallbacks.map((entry) => [
      codeOf.get(entry.type) ?? 0,
      checksumToBytes(entry.checksum),
      u64(entry.size),
      u64(entry.usize),
    ]),
  ]);
}

const STATIC_DELTAS = 'ostree.static-deltas';

/** Reads a delta index (or a summary's own metadata): names of deltas and the digests of their superblocks. */
export function parseDeltaIndex(bytes: Buffer): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  const deltas = metadataFromValue(decode('a{sv}', bytes)).get(STATIC_DELTAS);
  if (deltas?.type !== 'a{sv}') return found;
  for (const entry of asArray(deltas.value)) {
    const [name, digest] = asArray(entry);
    const variant = asVariant(digest);
    if (variant.type === 'ay' && asBytes(variant.value).length === 32)
      found.set(asString(name), asBytes(variant.value));
  }
  return found;
}

/** Serialises a delta index. */
export function serializeDeltaIndex(deltas: ReadonlyMap<string, Buffer>): Buffer {
  const value: Value = [...deltas].map(([name, digest]) => [name, { type: 'ay', value: digest }]);
  return encodeVardict(new Map([[STATIC_DELTAS, { type: 'a{sv}', value }]]));
}
