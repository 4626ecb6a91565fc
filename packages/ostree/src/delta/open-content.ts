import { closeSync, openSync } from 'node:fs';
import { corrupt } from '../error.ts';
import { isSymlink } from '../objects/mode.ts';
import type { StoredFile } from '../repo/load-file.ts';
import { type ByteSource, bufferSource, fileSource, type Room, readInto, Spool } from './bytes.ts';

export interface OpenContent {
  source: ByteSource;
  close: () => void;
}

/** Packed kernels are below. */
const WHOLE_LIMIT = 16 << 20;

/**
 * A stored object's content for reading anywhere: in memory when it is small, else its own file, or a nameless one in
 * `folder` where the repository keeps it packed. What is read into `room` holds until that is taken again.
 */
export async function openContent(file: StoredFile, folder: string, room?: Room): Promise<OpenContent> {
  if (isSymlink(file.header.mode)) throw corrupt('a symlink has no content to build upon');
  if (file.path !== null && file.size <= WHOLE_LIMIT && room !== undefined) {
    const bytes = room.take(file.size);
    const fd = openSync(file.path, 'r');
    try {
      readInto(fd, bytes, 0);
    } finally {
      closeSync(fd);
    }
    return { source: bufferSource(bytes), close: () => {} };
  }
  // A patch of a small file jumps about in it: reading it once is cheaper than asking for each piece.
  if (file.size <= WHOLE_LIMIT) return { source: bufferSource(file.readContent()), close: () => {} };
  if (file.path !== null) {
    const fd = openSync(file.path, 'r');
    return { source: fileSource(fd, file.size), close: () => closeSync(fd) };
  }
  const spool = new Spool(folder);
  try {
    for await (const chunk of file.open()) spool.write(Buffer.from(chunk));
  } catch (error) {
    spool[Symbol.dispose]();
    throw error;
  }
  return { source: spool, close: () => spool[Symbol.dispose]() };
}
