import { corrupt } from '../error.ts';
import { asArray, asBytes } from '../gvariant/value.ts';
import type { Metadata } from '../gvariant/vardict.ts';
import { type Checksum, checksumFromBytes } from './checksum.ts';
import type { ObjectType } from './type.ts';

/** What a commit says one of its objects weighs, in bytes. */
export interface CommitSize {
  type: ObjectType;
  checksum: Checksum;
  /** As an archive repository stores it. */
  archived: number;
  unpacked: number;
}

/** The types by their numbers (ostree-core.h, OstreeObjectType); there is no type 0. */
const TYPES: readonly (ObjectType | undefined)[] = [
  undefined,
  'file',
  'dirtree',
  'dirmeta',
  'commit',
  'tombstone-commit',
  'commitmeta',
  'payload-link',
  'file-xattrs',
  'file-xattrs-link',
];

/** Reads `ostree.sizes` (`aay`: digest, two varints, a type that old commits lack); null when there is none. */
export function commitSizes(metadata: Metadata): CommitSize[] | null {
  const sizes = metadata.get('ostree.sizes');
  if (sizes?.type !== 'aay') return null;
  return asArray(sizes.value).map((entry) => {
    const bytes = asBytes(entry);
    const checksum = checksumFromBytes(bytes.subarray(0, 32));
    const archived = readVarint(bytes, 32);
    const unpacked = readVarint(bytes, archived.end);
    const number = bytes[unpacked.end];
    const type = number === undefined ? 'file' : TYPES[number];
    if (type === undefined) throw corrupt(`Unexpected ostree.sizes object type ${number}`);
    return { type, checksum, archived: archived.value, unpacked: unpacked.value };
  });
}

function readVarint(bytes: Buffer, start: number): { value: number; end: number } {
  let value = 0;
  for (let at = start, scale = 1; at < start + 10; at++, scale *= 128) {
    const byte = bytes[at];
    if (byte === undefined) break;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80 && value <= Number.MAX_SAFE_INTEGER) return { value, end: at + 1 };
  }
  throw corrupt('Unexpected EOF reading ostree.sizes varint');
}
