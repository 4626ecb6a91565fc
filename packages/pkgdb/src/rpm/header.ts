import { corrupt } from '@atomic/ostree';

/** Tags of a package header that are read here (rpmtag.h). */
export const TAG = {
  name: 1000,
  version: 1001,
  release: 1002,
  epoch: 1003,
  arch: 1022,
  sourceRpm: 1044,
  changelogTime: 1080,
  changelogName: 1081,
  changelogText: 1082,
  dirIndexes: 1116,
  baseNames: 1117,
  dirNames: 1118,
} as const;

const INT32 = 4;
const STRING = 6;
const STRING_ARRAY = 8;
const I18N_STRING = 9;

/** rpm refuses headers with more entries or data than this (header.c). */
const MAX_ENTRIES = 0xffff;
const MAX_DATA = 256 * 1024 * 1024;
const ENTRY = 16;

interface Entry {
  type: number;
  offset: number;
  count: number;
}

/**
 * A package header as the database keeps it: a count of index entries and the size of the data, big-endian, then the
 * entries (tag, type, offset, count), then the data (rpm's "Package format v4"). Throws `corrupt` where a blob says what
 * cannot be; a tag that is not there, or of another type, is undefined.
 */
export class RpmHeader {
  readonly #data: Buffer;
  readonly #entries = new Map<number, Entry>();

  constructor(blob: Uint8Array) {
    const bytes = Buffer.from(blob.buffer, blob.byteOffset, blob.byteLength);
    if (bytes.length < 8) throw corrupt('an RPM header is cut off');
    const [count, size] = [bytes.readUInt32BE(0), bytes.readUInt32BE(4)];
    if (count > MAX_ENTRIES || size > MAX_DATA || bytes.length < 8 + count * ENTRY + size) {
      throw corrupt(`an RPM header of ${bytes.length} bytes says it has ${count} entries and ${size} bytes of data`);
    }
    this.#data = bytes.subarray(8 + count * ENTRY, 8 + count * ENTRY + size);
    for (let i = 0; i < count; i++) {
      const at = 8 + i * ENTRY;
      const tag = bytes.readUInt32BE(at);
      // The first of a tag counts: what was signed stands before what was added at installation.
      if (this.#entries.has(tag)) continue;
      const [type, offset, items] = [4, 8, 12].map((skip) => bytes.readUInt32BE(at + skip));
      this.#entries.set(tag, { type: type ?? 0, offset: offset ?? 0, count: items ?? 0 });
    }
  }

  /** Strings of a tag; several for arrays, one else. */
  strings(tag: number): string[] | undefined {
    const entry = this.#entries.get(tag);
    if (entry === undefined || ![STRING, STRING_ARRAY, I18N_STRING].includes(entry.type)) return undefined;
    const { offset } = entry;
    const count = entry.type === STRING ? 1 : entry.count;
    const strings: string[] = [];
    for (let at = offset; strings.length < count; ) {
      const end = at < this.#data.length ? this.#data.indexOf(0, at) : -1;
      if (end < 0) throw corrupt(`tag ${tag} of an RPM header goes beyond its data`);
      strings.push(this.#data.toString('utf8', at, end));
      at = end + 1;
    }
    return strings;
  }

  /** The only, or first, string of a tag. */
  string(tag: number): string | undefined {
    return this.strings(tag)?.[0];
  }

  /** 32-bit numbers of a tag. */
  numbers(tag: number): number[] | undefined {
    const entry = this.#entries.get(tag);
    if (entry === undefined || entry.type !== INT32) return undefined;
    const { offset, count } = entry;
    if (offset + count * 4 > this.#data.length) throw corrupt(`tag ${tag} of an RPM header goes beyond its data`);
    return Array.from({ length: count }, (_, i) => this.#data.readUInt32BE(offset + i * 4));
  }
}
