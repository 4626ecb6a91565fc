import type { Checksum } from './checksum.ts';

/** Kinds of objects; the names are the file extensions in `objects/XX/`. */
export type ObjectType =
  | 'file'
  | 'dirtree'
  | 'dirmeta'
  | 'commit'
  | 'tombstone-commit'
  | 'commitmeta'
  | 'payload-link'
  | 'file-xattrs'
  | 'file-xattrs-link';
export type MetadataType = 'dirtree' | 'dirmeta' | 'commit';

/** The largest metadata object libostree accepts (OSTREE_MAX_METADATA_SIZE), in bytes. */
export const MAX_METADATA_SIZE = 128 * 1024 * 1024;

/** Path of a loose object below `objects/` (or a remote's): `XX/REST.EXT`; archive content has the extension `.filez`. */
export function loosePath(type: ObjectType, checksum: Checksum, archive: boolean): string {
  const extension = type === 'file' && archive ? 'filez' : type;
  return `${checksum.slice(0, 2)}/${checksum.slice(2)}.${extension}`;
}

const extensions = new Map<string, ObjectType>([
  ['file', 'file'],
  ['filez', 'file'],
  ['dirtree', 'dirtree'],
  ['dirmeta', 'dirmeta'],
  ['commit', 'commit'],
  ['tombstone-commit', 'tombstone-commit'],
  ['commitmeta', 'commitmeta'],
  ['payload-link', 'payload-link'],
  ['file-xattrs', 'file-xattrs'],
  ['file-xattrs-link', 'file-xattrs-link'],
]);

/** The object a file `objects/XX/NAME` holds, or null for any other file. */
export function parseLooseName(prefix: string, name: string): { type: ObjectType; checksum: Checksum } | null {
  const match = /^([0-9a-f]{62})\.([a-z-]+)$/.exec(name);
  const type = extensions.get(match?.[2] ?? '');
  return match?.[1] === undefined || type === undefined ? null : { type, checksum: prefix + match[1] };
}
