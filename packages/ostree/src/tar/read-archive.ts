import { createReadStream } from 'node:fs';
import { AtomicError } from '../error.ts';
import type { ArchiveEntry } from './archive-entry.ts';
import { ByteReader } from './byte-reader.ts';
import { decompressed } from './decompress.ts';
import { isCpio, readCpio } from './read-cpio.ts';
import { isTarHeader, readTar } from './read-tar.ts';

/** The entries of a tar or cpio archive, compressed or not, from a file or a stream. Throws `invalid` for anything else. */
export async function* archiveEntries(source: string | AsyncIterable<Uint8Array>): AsyncGenerator<ArchiveEntry> {
  const bytes = typeof source === 'string' ? createReadStream(source, { highWaterMark: 1 << 18 }) : source;
  await using packed = new ByteReader(bytes);
  await using reader = new ByteReader(await decompressed(packed));
  const start = await reader.peek(512);
  if (isCpio(start)) yield* readCpio(reader);
  else if (isTarHeader(start) || start.every((byte) => byte === 0)) yield* readTar(reader);
  else {
    const name = typeof source === 'string' ? source : 'the archive';
    throw new AtomicError('invalid', `${name}: Unrecognized archive format`, {
      hint: 'tar and cpio archives are read',
    });
  }
}
