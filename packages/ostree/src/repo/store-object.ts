import { fchmodSync } from 'node:fs';
import { corrupt } from '../error.ts';
import { type Checksum, checksumBytes } from '../objects/checksum.ts';
import { parseCommit } from '../objects/commit.ts';
import { parseDirMeta } from '../objects/dirmeta.ts';
import { parseDirTree } from '../objects/dirtree.ts';
import type { FileHeader } from '../objects/file.ts';
import { isSymlink } from '../objects/mode.ts';
import { MAX_METADATA_SIZE, type MetadataType, type ObjectType } from '../objects/type.ts';
import type { Stager, Stored } from './stager.ts';
import { writeFully, writeNew } from './store-content.ts';
import { checkExpected, contentChecksum, placeContent, WHOLE_LIMIT } from './store-file.ts';
import { gather, storeStream } from './store-stream.ts';

export interface ContentSource {
  header: FileHeader;
  /** Bytes of content. */
  size: number;
  source: Buffer | AsyncIterable<Uint8Array>;
}

const parsers: Record<MetadataType, (bytes: Uint8Array) => unknown> = {
  commit: parseCommit,
  dirtree: parseDirTree,
  dirmeta: parseDirMeta,
};

/** Throws `corrupt` unless bytes are a well-formed metadata object. */
export function checkMetadata(type: MetadataType, bytes: Uint8Array): void {
  checkMetadataSize(type, bytes);
  parsers[type](bytes);
}

/** Throws `corrupt` for a metadata object too large to be read. */
export function checkMetadataSize(type: MetadataType, bytes: Uint8Array): void {
  if (bytes.length > MAX_METADATA_SIZE) throw corrupt(`a ${type} object of ${bytes.length} bytes is too large`);
}

/** The checksum of a metadata object; throws `corrupt` when it is not the one `expected`. */
export function metadataChecksum(type: MetadataType, bytes: Uint8Array, expected: Checksum | undefined): Checksum {
  const checksum = checksumBytes(bytes);
  if (expected !== undefined && checksum !== expected) {
    throw corrupt(`Corrupted ${type} object; checksum expected='${expected}' actual='${checksum}'`);
  }
  return checksum;
}

/** Stages a metadata object that has been checked. */
export function placeMetadata(stager: Stager, type: ObjectType, checksum: Checksum, bytes: Uint8Array): void {
  stager.place(type, checksum, (path) =>
    writeNew(path, (fd) => {
      writeFully(fd, bytes);
      fchmodSync(fd, 0o644);
    }),
  );
}

/**
 * Stages a content object from its header and content, its checksum checked against `expected`; `absent`: one the
 * caller has seen not to be here.
 */
export async function storeContentSource(
  stager: Stager,
  { header, source, size }: ContentSource,
  expected: Checksum | undefined,
  options: { absent?: boolean | undefined } = {},
): Promise<Stored> {
  const symlink = isSymlink(header.mode);
  if (!symlink && !Buffer.isBuffer(source) && size > WHOLE_LIMIT) {
    return await storeStream(stager, header, source, size, expected);
  }
  const inMemory = async () => (Buffer.isBuffer(source) ? source : await gather(source, size, expected));
  const content = symlink ? Buffer.alloc(0) : await inMemory();
  const checksum = contentChecksum(header, content);
  checkExpected(checksum, expected);
  return placeContent(stager, header, content, checksum, options);
}
