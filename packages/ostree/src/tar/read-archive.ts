import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { resolve } from 'node:path';
import { AtomicError } from '../error.ts';
import type { ArchiveEntry } from './archive-entry.ts';
import { ByteReader } from './byte-reader.ts';
import { decompressed } from './decompress.ts';
import { isCpio, readCpio } from './read-cpio.ts';
import { isTarHeader, readTar } from './read-tar.ts';

/** The entries of a tar or cpio archive, compressed or not, from a file or a stream. Throws `invalid` for anything else. */
export async function* archiveEntries(source: string | AsyncIterable<Uint8Array>): AsyncGenerator<ArchiveEntry> {
  await using packed = new ByteReader(typeof source === 'string' ? await openFile(source) : source);
  await using reader = new ByteReader(await decompressed(packed));
  const start = await reader.peek(512);
  if (isCpio(start)) yield* readCpio(reader);
  else if (isTarHeader(start) || start.every((byte) => byte === 0)) yield* readTar(reader);
  else {
    const opened = typeof source === 'string' ? 'archive_read_open_filename' : 'archive_read_open_fd';
    throw new AtomicError('invalid', `${opened}: Unrecognized archive format`, {
      hint: 'tar and cpio archives are read',
    });
  }
  // Checks of the whole, a digest or a program's exit status, come at the very end: it is read even where nothing is said.
  await reader.drain();
  await packed.drain();
}

async function openFile(path: string): Promise<AsyncIterable<Uint8Array>> {
  const stream = createReadStream(path, { highWaterMark: 1 << 18 });
  try {
    await once(stream, 'open');
  } catch (error) {
    throw new AtomicError('not-found', `archive_read_open_filename: Failed to open '${resolve(path)}'`, {
      cause: error,
    });
  }
  return stream;
}
