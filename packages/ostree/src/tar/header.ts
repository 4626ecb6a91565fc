import type { Xattr } from '../objects/xattrs.ts';

/**
 * Headers of GNU tar archives, byte for byte as libarchive's writer of that format has them. Extended attributes, which
 * that writer drops, go before their file in a pax header (`SCHILY.xattr.NAME`), which GNU tar, bsdtar and libarchive
 * all read in a GNU archive. The tar packages there are take text only for pax values, and a capability is none.
 */

export type TarKind = 'file' | 'link' | 'symlink' | 'directory';

export interface TarEntry {
  /** A directory's name ends in a slash. */
  name: string;
  kind: TarKind;
  mode: number;
  uid: number;
  gid: number;
  /** Bytes of content that follow. */
  size: number;
  /** Unix seconds. */
  mtime: number;
  /** What a link or symlink points to. */
  target?: string | undefined;
  xattrs?: readonly Xattr[] | undefined;
}

export const BLOCK = 512;
const NAME_SIZE = 100;
const TYPES: Record<TarKind, string> = { file: '0', link: '1', symlink: '2', directory: '5' };

interface RawHeader {
  name: Buffer;
  type: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtime: number;
  target: Buffer;
  owner: string;
  group: string;
}

/** Octal digits where the number fits, else big-endian with the top bit set, as GNU tar extends it. */
function putNumber(block: Buffer, at: number, width: number, value: number): void {
  const text = value.toString(8);
  if (value >= 0 && text.length < width) {
    block.write(text.padStart(width - 1, '0'), at, 'latin1');
    return;
  }
  let rest = BigInt(value);
  for (let i = at + width - 1; i >= at; i--) {
    block[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  block[at] = (block[at] ?? 0) | 0x80;
}

function rawHeader(header: RawHeader): Buffer {
  const block = Buffer.alloc(BLOCK);
  header.name.copy(block, 0, 0, NAME_SIZE);
  putNumber(block, 100, 8, header.mode);
  putNumber(block, 108, 8, header.uid);
  putNumber(block, 116, 8, header.gid);
  putNumber(block, 124, 12, header.size);
  // The latest time eleven digits can say: the year 2242.
  putNumber(block, 136, 12, Math.min(header.mtime, 0o77777777777));
  block.write('        ', 148, 'latin1');
  block.write(header.type, 156, 'latin1');
  header.target.copy(block, 157, 0, NAME_SIZE);
  block.write('ustar  \0', 257, 'latin1');
  block.write(header.owner, 265, 'latin1');
  block.write(header.group, 297, 'latin1');
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

/** Zeros that fill up the last block of so many bytes. */
export const padding = (size: number): Buffer => Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);

/** The pseudo entry that holds a name or target too long for the header after it. */
function longName(type: 'K' | 'L', name: Buffer, target: Buffer): Buffer[] {
  const content = Buffer.concat([name, Buffer.alloc(1)]);
  const header = rawHeader({
    name: Buffer.from('././@LongLink'),
    type,
    mode: 0,
    uid: 0,
    gid: 0,
    size: content.length,
    mtime: 0,
    target,
    owner: 'root',
    group: 'wheel',
  });
  return [header, content, padding(content.length)];
}

/** A pax record says its own length, digits and all. */
function paxRecord(key: Buffer, value: Buffer): Buffer {
  const rest = key.length + value.length + 3;
  let length = rest + 1;
  while (String(length).length + rest !== length) length = String(length).length + rest;
  return Buffer.concat([Buffer.from(`${length} `), key, Buffer.from('='), value, Buffer.from('\n')]);
}

function paxHeader(entry: TarEntry, xattrs: readonly Xattr[]): Buffer[] {
  const prefix = Buffer.from('SCHILY.xattr.');
  const content = Buffer.concat(xattrs.map(({ name, value }) => paxRecord(Buffer.concat([prefix, name]), value)));
  const header = rawHeader({
    name: Buffer.from('PaxHeader'),
    type: 'x',
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: content.length,
    mtime: entry.mtime,
    target: Buffer.alloc(0),
    owner: '',
    group: '',
  });
  return [header, content, padding(content.length)];
}

/** All blocks that precede an entry's content. */
export function tarHeader(entry: TarEntry): Buffer {
  const name = Buffer.from(entry.name);
  const target = Buffer.from(entry.target ?? '');
  const parts: Buffer[] = [];
  if (entry.xattrs !== undefined && entry.xattrs.length > 0) parts.push(...paxHeader(entry, entry.xattrs));
  if (target.length > NAME_SIZE) parts.push(...longName('K', target, target));
  if (name.length > NAME_SIZE) parts.push(...longName('L', name, Buffer.alloc(0)));
  const { mode, uid, gid, size, mtime } = entry;
  const type = TYPES[entry.kind];
  parts.push(rawHeader({ name, type, mode: mode & 0o7777, uid, gid, size, mtime, target, owner: '', group: '' }));
  return Buffer.concat(parts);
}
