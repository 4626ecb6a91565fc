import { AtomicError, corrupt } from '../error.ts';
import type { Xattr } from '../objects/xattrs.ts';
import { type ArchiveEntry, archiveText } from './archive-entry.ts';
import type { ByteReader } from './byte-reader.ts';

const BLOCK = 512;
/** Names and pax headers beyond this are an attack, not an archive; attributes may have 64 KiB each. */
const MAX_EXTENSION = 4 << 20;

/** What extended headers say about the entry that follows them. */
interface Extension {
  path?: string | undefined;
  target?: string | undefined;
  size?: number | undefined;
  uid?: number | undefined;
  gid?: number | undefined;
  xattrs: Xattr[];
}

/** Whether a block is a tar header: its sum of bytes (or of signed bytes, as old programs did) is the one it states. */
export function isTarHeader(block: Buffer): boolean {
  if (block.length < BLOCK) return false;
  let unsigned = 0;
  let signed = 0;
  for (let i = 0; i < BLOCK; i++) {
    const byte = i >= 148 && i < 156 ? 0x20 : (block[i] ?? 0);
    unsigned += byte;
    signed += (byte << 24) >> 24;
  }
  const stated = octal(block.subarray(148, 156));
  return stated === unsigned || stated === signed;
}

/**
 * The entries of a tar archive: ustar, pax (with its attributes) and GNU's long names and numbers (POSIX pax, GNU tar
 * manual, appendix "Basic Tar Format"). Our own reader because those there are take pax values for text, and the value
 * of `security.capability` is none. Throws `corrupt`, or `unsupported` for sparse files.
 */
export async function* readTar(reader: ByteReader): AsyncGenerator<ArchiveEntry> {
  let extension: Extension = { xattrs: [] };
  const everywhere: Extension = { xattrs: [] };
  for (;;) {
    const block = await reader.read(BLOCK);
    // A block of zeros is the end; archives without one are taken as they are.
    if (block === null || block.every((byte) => byte === 0)) return;
    const header = Buffer.from(block);
    if (!isTarHeader(header)) throw corrupt('Damaged tar archive: a header has the wrong checksum');
    const type = String.fromCharCode(header[156] ?? 0);
    const size = extension.size ?? number(header.subarray(124, 136));
    if ('xgLKX'.includes(type)) {
      const own = number(header.subarray(124, 136));
      if (own > MAX_EXTENSION) throw corrupt(`Damaged tar archive: an extended header of ${own} bytes`);
      const data = Buffer.from(await reader.need(own));
      await reader.skipTo(padded(reader.position));
      if (type === 'L') extension.path = archiveText(data, 'pathname');
      else if (type === 'K') extension.target = archiveText(data, 'link target');
      else readPax(data, type === 'g' ? everywhere : extension);
      continue;
    }
    if (type === 'S') throw sparse();
    const fixed = plainEntry(header, type);
    const path = extension.path ?? everywhere.path ?? fixed.path;
    const directory = fixed.type === 'directory' || (fixed.type === 'file' && path.endsWith('/'));
    // A hard link's size is that of its target; only pax archives have its content as well, and say so.
    const hasContent = !directory && (fixed.type !== 'hardlink' || extension.size !== undefined);
    const length = hasContent ? size : 0;
    const start = reader.position;
    yield {
      ...fixed,
      path,
      type: directory ? 'directory' : fixed.type,
      uid: extension.uid ?? everywhere.uid ?? fixed.uid,
      gid: extension.gid ?? everywhere.gid ?? fixed.gid,
      target: extension.target ?? everywhere.target ?? fixed.target,
      xattrs: extension.xattrs,
      size: length,
      content: { [Symbol.asyncIterator]: () => reader.stream(length) },
    };
    await reader.skipTo(start + length);
    // A layer that umoci inserted a file by ends with its last byte.
    if (await reader.ended()) return;
    await reader.skipTo(padded(start + length));
    extension = { xattrs: [] };
  }
}

const padded = (position: number): number => Math.ceil(position / BLOCK) * BLOCK;
const sparse = () =>
  new AtomicError('unsupported', 'sparse files in tar archives are not read', {
    hint: 'make the archive without --sparse',
  });

const TYPES: Record<string, ArchiveEntry['type']> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '5': 'directory',
};

function plainEntry(header: Buffer, type: string): Omit<ArchiveEntry, 'size' | 'content'> {
  const ustar = header.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = ustar ? archiveText(header.subarray(345, 500), 'pathname') : '';
  const name = archiveText(header.subarray(0, 100), 'pathname');
  return {
    path: prefix === '' ? name : `${prefix}/${name}`,
    type: TYPES[type] ?? 'other',
    mode: number(header.subarray(100, 108)) & 0o7777,
    uid: number(header.subarray(108, 116)),
    gid: number(header.subarray(116, 124)),
    target: archiveText(header.subarray(157, 257), 'link target'),
    xattrs: [],
  };
}

/** Octal digits among spaces and NULs, or NaN. */
function octal(field: Buffer): number {
  const text = field
    .toString('latin1')
    .replace(/^[ \0]+/, '')
    .replace(/[ \0].*$/s, '');
  return text === '' ? 0 : /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number.NaN;
}

/** A numeric field: octal, or big-endian bytes behind a set top bit (GNU). */
function number(field: Buffer): number {
  const first = field[0] ?? 0;
  let value: number;
  if ((first & 0x80) === 0) value = octal(field);
  else {
    if ((first & 0x40) !== 0) throw corrupt('Damaged tar archive: a negative number');
    value = first & 0x3f;
    for (const byte of field.subarray(1)) value = value * 256 + byte;
  }
  if (!Number.isSafeInteger(value)) throw corrupt('Damaged tar archive: a field is no number');
  return value;
}

/** Records of `LENGTH KEY=VALUE\n`; values are bytes. */
function readPax(data: Buffer, into: Extension): void {
  for (let at = 0; at < data.length && data[at] !== 0; ) {
    const space = data.indexOf(0x20, at);
    const length = space < 0 ? Number.NaN : Number(data.toString('latin1', at, space));
    const end = at + length;
    const equals = data.indexOf(0x3d, space);
    if (!Number.isSafeInteger(length) || end > data.length || data[end - 1] !== 0x0a || equals < 0 || equals >= end)
      throw corrupt('Damaged tar archive: a malformed pax header');
    setPax(into, data.toString('utf8', space + 1, equals), data.subarray(equals + 1, end - 1));
    at = end;
  }
}

const SCHILY = 'SCHILY.xattr.';
const LIBARCHIVE = 'LIBARCHIVE.xattr.';

function setPax(into: Extension, key: string, value: Buffer): void {
  const text = () => archiveText(value, key === 'linkpath' ? 'link target' : 'pathname');
  const count = () => {
    const parsed = Number(value.toString('latin1'));
    if (!Number.isSafeInteger(parsed) || parsed < 0) throw corrupt(`Damaged tar archive: pax ${key} is no number`);
    return parsed;
  };
  if (key === 'path') into.path = text();
  else if (key === 'linkpath') into.target = text();
  else if (key === 'size') into.size = count();
  else if (key === 'uid') into.uid = count();
  else if (key === 'gid') into.gid = count();
  else if (key.startsWith('GNU.sparse.')) throw sparse();
  else if (key.startsWith(SCHILY)) setXattr(into, Buffer.from(key.slice(SCHILY.length)), Buffer.from(value));
  else if (key.startsWith(LIBARCHIVE)) {
    setXattr(into, urlDecoded(key.slice(LIBARCHIVE.length)), Buffer.from(value.toString('latin1'), 'base64'));
  }
}

/** libarchive writes an attribute in both ways; one of them counts. */
function setXattr(into: Extension, name: Buffer, value: Buffer): void {
  if (name.length === 0 || name.includes(0)) throw corrupt('Damaged tar archive: a malformed attribute name');
  into.xattrs = [...into.xattrs.filter((one) => !one.name.equals(name)), { name, value }];
}

function urlDecoded(text: string): Buffer {
  const plain = text.replace(/%([0-9a-fA-F]{2})/g, (_all, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(plain, 'latin1');
}
