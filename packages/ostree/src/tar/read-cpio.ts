import { corrupt } from '../error.ts';
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../objects/mode.ts';
import { type ArchiveEntry, archiveText } from './archive-entry.ts';
import type { ByteReader } from './byte-reader.ts';

const MAX_NAME = 65536;

/** Fields of a header, as far as they matter. */
interface Header {
  inode: string;
  mode: number;
  uid: number;
  gid: number;
  links: number;
  size: number;
  nameSize: number;
  /** Header with name, and content, are filled up to a multiple of this. */
  align: number;
}

const TYPES: Record<number, ArchiveEntry['type']> = { [S_IFREG]: 'file', [S_IFDIR]: 'directory', [S_IFLNK]: 'symlink' };

/** Whether a stream that begins so is a cpio archive we read. */
export const isCpio = (start: Buffer): boolean => /^0707(01|02|07)/.test(start.toString('latin1', 0, 6));

/**
 * The entries of a cpio archive in the portable formats: `newc` and `crc` (magic 070701, 070702) and `odc` (070707);
 * cpio(5). Names of one inode after its first come as hard links to that; any of them may bring the content.
 */
export async function* readCpio(reader: ByteReader): AsyncGenerator<ArchiveEntry> {
  const inodes = new Map<string, string>();
  for (;;) {
    const begin = reader.position;
    const header = await readHeader(reader);
    if (header.nameSize === 0 || header.nameSize > MAX_NAME) throw corrupt('Damaged cpio archive: a malformed name');
    const path = archiveText(await reader.need(header.nameSize), 'pathname');
    await reader.skipTo(begin + aligned(reader.position - begin, header.align));
    if (path === 'TRAILER!!!') return;
    const start = reader.position;
    const plain = TYPES[header.mode & S_IFMT] ?? 'other';
    const first = header.links > 1 && plain !== 'directory' ? inodes.get(header.inode) : undefined;
    if (header.links > 1 && first === undefined) inodes.set(header.inode, path);
    let target = first ?? '';
    let size = header.size;
    if (plain === 'symlink') {
      if (size > MAX_NAME) throw corrupt('Damaged cpio archive: a malformed link target');
      if (first === undefined) target = archiveText(await reader.need(size), 'symlink target');
      size = 0;
    }
    yield {
      path,
      type: first === undefined ? plain : 'hardlink',
      mode: header.mode & 0o7777,
      uid: header.uid,
      gid: header.gid,
      size,
      target,
      xattrs: [],
      content: { [Symbol.asyncIterator]: () => reader.stream(size) },
    };
    await reader.skipTo(start + aligned(header.size, header.align));
  }
}

const aligned = (length: number, align: number): number => Math.ceil(length / align) * align;

async function readHeader(reader: ByteReader): Promise<Header> {
  const magic = (await reader.need(6)).toString('latin1');
  if (magic === '070701' || magic === '070702') {
    const fields = numbers(await reader.need(104), 8, 16);
    const [inode = 0, mode = 0, uid = 0, gid = 0, links = 0, , size = 0, major = 0, minor = 0, , , nameSize = 0] =
      fields;
    return { inode: `${major}:${minor}:${inode}`, mode, uid, gid, links, size, nameSize, align: 4 };
  }
  if (magic !== '070707') throw corrupt('Damaged cpio archive: a header has no magic number');
  const bytes = await reader.need(70);
  const [device = 0, inode = 0, mode = 0, uid = 0, gid = 0, links = 0] = numbers(bytes.subarray(0, 36), 6, 8);
  const [nameSize = 0] = numbers(bytes.subarray(53, 59), 6, 8);
  const [size = 0] = numbers(bytes.subarray(59, 70), 11, 8);
  return { inode: `${device}:${inode}`, mode, uid, gid, links, size, nameSize, align: 1 };
}

function numbers(bytes: Buffer, width: number, base: 8 | 16): number[] {
  const values: number[] = [];
  const digits = base === 8 ? /^[0-7]+$/ : /^[0-9a-fA-F]+$/;
  for (let at = 0; at + width <= bytes.length; at += width) {
    const text = bytes.toString('latin1', at, at + width);
    if (!digits.test(text)) throw corrupt('Damaged cpio archive: a field is no number');
    values.push(Number.parseInt(text, base));
  }
  return values;
}
