import { corrupt } from '../error.ts';
import { decode } from '../gvariant/decode.ts';
import { encode } from '../gvariant/encode.ts';
import { asArray, asBytes, asString } from '../gvariant/value.ts';
import { type Checksum, checksumFromBytes, checksumToBytes } from './checksum.ts';
import { scanDirTree } from './dirtree-scan.ts';

export interface FileEntry {
  name: string;
  checksum: Checksum;
}
export interface DirEntry {
  name: string;
  /** Checksum of the child's dirtree and dirmeta. */
  tree: Checksum;
  meta: Checksum;
}
/** What a directory contains; both lists sorted by the bytes of the names. */
export interface DirTree {
  files: FileEntry[];
  dirs: DirEntry[];
}

const TYPE = '(a(say)a(sayay))';

/** Order of names in a dirtree: by UTF-8 bytes (readers binary-search), which is not JavaScript's order. */
export function compareNames(a: string, b: string): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return x < 0xd800 || y < 0xd800 ? x - y : beyondSurrogates(x) - beyondSurrogates(y);
  }
  return a.length - b.length;
}

/** UTF-16 has the halves of characters above U+FFFF before U+E000, where UTF-8 has those characters after it. */
const beyondSurrogates = (unit: number): number => (unit >= 0xe000 ? unit - 0x2000 : unit + 0x2000);

/** Refuses what could leave the directory: '', '.', '..', a slash, a NUL. Returns the name. */
export function validateFileName(name: string): string {
  if (name === '.') throw corrupt("Invalid self-referential filename '.'");
  if (name === '..') throw corrupt("Invalid path uplink filename '..'");
  if (name.includes('/')) throw corrupt(`Invalid / in filename ${name}`);
  if (name === '' || name.includes('\0')) throw corrupt(`Invalid filename '${name.replaceAll('\0', '\\0')}'`);
  return name;
}

/** Serialises a dirtree, sorting its entries. */
export function serializeDirTree(tree: DirTree): Buffer {
  const sorted = <T extends { name: string }>(entries: T[]) => entries.toSorted((a, b) => compareNames(a.name, b.name));
  return encode(TYPE, [
    sorted(tree.files).map(({ name, checksum }) => [validateFileName(name), checksumToBytes(checksum)]),
    sorted(tree.dirs).map((dir) => [validateFileName(dir.name), checksumToBytes(dir.tree), checksumToBytes(dir.meta)]),
  ]);
}

/** Reads a dirtree; throws `corrupt` for anything but a valid one (names, order, duplicates, checksum lengths). */
export function parseDirTree(bytes: Uint8Array): DirTree {
  const tree = parsePlain(bytes) ?? parseAny(bytes);
  for (const entries of [tree.files, tree.dirs]) {
    let previous = '';
    for (const { name } of entries) {
      // No name is empty.
      if (compareNames(previous, name) >= 0) throw corrupt(`dirtree names out of order at '${name}'`);
      previous = name;
    }
  }
  if (tree.dirs.length === 0) return tree;
  const fileNames = new Set(tree.files.map((file) => file.name));
  for (const { name } of tree.dirs)
    if (fileNames.has(name)) throw corrupt(`'${name}' is a file and a directory at once`);
  return tree;
}

/**
 * Nearly all dirtrees: in normal form, with names in ASCII. Null for any other. It makes no views of bytes and no lists of
 * values on the way, which what decodes any type does: they count where thousands are read.
 */
function parsePlain(bytes: Uint8Array): DirTree | null {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tree: DirTree = { files: [], dirs: [] };
  let plain = true;
  const nameOf = (start: number, end: number): string => {
    plain &&= buffer[end] === 0 && isPlainName(buffer, start, end);
    return buffer.toString('latin1', start, end);
  };
  const checksum = (at: number): Checksum => buffer.toString('hex', at, at + 32);
  const framed = scanDirTree(buffer, {
    file: (at, name) => tree.files.push({ name: nameOf(name, at - 1), checksum: checksum(at) }),
    dir: (at, name) => tree.dirs.push({ name: nameOf(name, at - 1), tree: checksum(at), meta: checksum(at + 32) }),
  });
  return framed && plain ? tree : null;
}

/** Whether bytes are a name in ASCII that {@link validateFileName} lets pass. */
function isPlainName(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (byte === 0 || byte === SLASH || byte > 0x7f) return false;
  }
  const dots = bytes[start] === DOT && (end - start === 1 || (end - start === 2 && bytes[start + 1] === DOT));
  return end > start && !dots;
}

const SLASH = 0x2f;
const DOT = 0x2e;

function parseAny(bytes: Uint8Array): DirTree {
  const [files, dirs] = asArray(decode(TYPE, bytes));
  return {
    files: asArray(files).map((entry) => {
      const [name, checksum] = asArray(entry);
      return { name: validateFileName(asString(name)), checksum: checksumFromBytes(asBytes(checksum)) };
    }),
    dirs: asArray(dirs).map((entry) => {
      const [name, child, meta] = asArray(entry);
      return {
        name: validateFileName(asString(name)),
        tree: checksumFromBytes(asBytes(child)),
        meta: checksumFromBytes(asBytes(meta)),
      };
    }),
  };
}
