import { createHash } from 'node:crypto';
import { corrupt } from '../error.ts';
import { decode } from '../gvariant/decode.ts';
import { encode } from '../gvariant/encode.ts';
import { asArray, asBigint, asNumber, asString, swap32, swap64, type Value } from '../gvariant/value.ts';
import type { Checksum } from './checksum.ts';
import { checkFileMode, isRegular, isSymlink } from './mode.ts';
import { type Xattr, xattrsFromValue, xattrsToValue } from './xattrs.ts';

/** What a content object knows besides its bytes. */
export interface FileHeader {
  uid: number;
  gid: number;
  /** With the S_IFREG or S_IFLNK bits. */
  mode: number;
  /** Of a symlink; empty for a regular file. */
  target: string;
  xattrs: Xattr[];
}

const HEADER = '(uuuusa(ayay))';
const ARCHIVE_HEADER = '(tuuuusa(ayay))';
const BARE_USER_META = '(uuua(ayay))';
/** Bytes of an {@link ARCHIVE_HEADER} of a regular file without attributes: u64, four u32, NUL, one framing offset. */
const PLAIN_ARCHIVE_HEADER = 26;
/** No header is larger: xattr values end at 64 KiB each. */
export const MAX_HEADER_SIZE = 16 * 1024 * 1024;

function headerFields(header: FileHeader): Value[] {
  const target = isSymlink(header.mode) ? header.target : '';
  return [swap32(header.uid), swap32(header.gid), swap32(header.mode), 0, target, xattrsToValue(header.xattrs)];
}

function headerFromFields(fields: Value[]): FileHeader {
  const [uid, gid, mode, rdev, target, xattrs] = fields;
  const header: FileHeader = {
    uid: swap32(asNumber(uid)),
    gid: swap32(asNumber(gid)),
    mode: checkFileMode(swap32(asNumber(mode))),
    target: asString(target),
    xattrs: xattrsFromValue(xattrs),
  };
  if (asNumber(rdev) !== 0) throw corrupt('a file object has a device number');
  if (isSymlink(header.mode) !== header.target.length > 0)
    throw corrupt('a file object has a symlink target against its mode');
  return header;
}

/** u32 big-endian length, four zero bytes, then the header: what precedes content in hashes, `.filez` and deltas. */
function framed(variant: Buffer): Buffer {
  const prefix = Buffer.alloc(8);
  prefix.writeUInt32BE(variant.length, 0);
  return Buffer.concat([prefix, variant]);
}

/**
 * The bytes hashed before a file's content. A regular file without attributes, as nearly all are, has them at fixed
 * places: three numbers, no device, an empty target with its NUL, and the offset of the target's end.
 */
export function fileHeaderBytes(header: FileHeader): Buffer {
  if (header.xattrs.length > 0 || isSymlink(header.mode)) return framed(encode(HEADER, headerFields(header)));
  const bytes = Buffer.alloc(26);
  bytes.writeUInt32BE(18, 0);
  bytes.writeUInt32BE(header.uid, 8);
  bytes.writeUInt32BE(header.gid, 12);
  bytes.writeUInt32BE(header.mode, 16);
  bytes[25] = 17;
  return bytes;
}

/** The bytes that precede the raw deflate stream in a `.filez`; `size` is the uncompressed size in bytes. */
export function archiveHeaderBytes(header: FileHeader, size: number): Buffer {
  if (header.xattrs.length > 0 || isSymlink(header.mode))
    return framed(encode(ARCHIVE_HEADER, [swap64(BigInt(size)), ...headerFields(header)]));
  const bytes = Buffer.alloc(8 + PLAIN_ARCHIVE_HEADER);
  bytes.writeUInt32BE(PLAIN_ARCHIVE_HEADER, 0);
  bytes.writeBigUInt64BE(BigInt(size), 8);
  bytes.writeUInt32BE(header.uid, 16);
  bytes.writeUInt32BE(header.gid, 20);
  bytes.writeUInt32BE(header.mode, 24);
  bytes[33] = PLAIN_ARCHIVE_HEADER - 1;
  return bytes;
}

/** Length of a `.filez` file's framed header, from its first 8 bytes. */
export function archiveHeaderLength(start: Uint8Array): number {
  if (start.length < 8) throw corrupt('an archive object is cut short');
  const length = Buffer.from(start.buffer, start.byteOffset, 8).readUInt32BE(0);
  if (length > MAX_HEADER_SIZE) throw corrupt(`an archive object claims a header of ${length} bytes`);
  return 8 + length;
}

/** Reads the framed header of a `.filez`; `bytes` must hold all of it. */
export function parseArchiveHeader(bytes: Uint8Array): { header: FileHeader; size: number; length: number } {
  const length = archiveHeaderLength(bytes);
  if (bytes.length < length) throw corrupt('an archive object is cut short');
  const plain = length === 8 + PLAIN_ARCHIVE_HEADER ? parsePlainArchiveHeader(bytes) : null;
  if (plain !== null) return plain;
  const [size, ...fields] = asArray(decode(ARCHIVE_HEADER, bytes.subarray(8, length)));
  const unpacked = swap64(asBigint(size));
  if (unpacked > BigInt(Number.MAX_SAFE_INTEGER)) throw corrupt(`an archive object claims ${unpacked} bytes`);
  return { header: headerFromFields(fields), size: Number(unpacked), length };
}

/** A regular file's header without attributes, in what can only be its normal form; null for any other. */
function parsePlainArchiveHeader(bytes: Uint8Array): { header: FileHeader; size: number; length: number } | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 8 + PLAIN_ARCHIVE_HEADER);
  const mode = view.getUint32(24);
  const sizeHigh = view.getUint32(8);
  const normal = view.getUint32(28) === 0 && view.getUint16(32) === PLAIN_ARCHIVE_HEADER - 1;
  if (!normal || !isRegular(mode) || sizeHigh >= 1 << 20) return null;
  return {
    header: { uid: view.getUint32(16), gid: view.getUint32(20), mode: checkFileMode(mode), target: '', xattrs: [] },
    size: sizeHigh * 2 ** 32 + view.getUint32(12),
    length: 8 + PLAIN_ARCHIVE_HEADER,
  };
}

/** The `user.ostreemeta` attribute of a bare-user object. */
export function bareUserMeta(header: FileHeader): Buffer {
  return encode(BARE_USER_META, [
    swap32(header.uid),
    swap32(header.gid),
    swap32(header.mode),
    xattrsToValue(header.xattrs),
  ]);
}

/** Reads `user.ostreemeta`; a symlink's target is the object's content, so the caller fills it in. */
export function parseBareUserMeta(bytes: Uint8Array): FileHeader {
  const [uid, gid, mode, xattrs] = asArray(decode(BARE_USER_META, bytes));
  return {
    uid: swap32(asNumber(uid)),
    gid: swap32(asNumber(gid)),
    mode: checkFileMode(swap32(asNumber(mode))),
    target: '',
    xattrs: xattrsFromValue(xattrs),
  };
}

/** Only the mode out of `user.ostreemeta`: all that most readers want to know, without taking the rest apart. */
export function bareUserMode(bytes: Buffer): number {
  if (bytes.length < 12) throw corrupt('a user.ostreemeta attribute is cut short');
  return checkFileMode(bytes.readUInt32BE(8));
}

/** A running hash of a content object: the framed header has gone in, content follows (none for a symlink). */
export function contentHasher(header: FileHeader): { update(data: Uint8Array): void; digest(): Checksum } {
  const hash = createHash('sha256').update(fileHeaderBytes(header));
  return {
    update: (data) => {
      hash.update(data);
    },
    digest: () => hash.digest('hex'),
  };
}
