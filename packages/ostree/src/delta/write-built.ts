import { createHash, randomBytes } from 'node:crypto';
import { closeSync, fchmodSync, fdatasyncSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Checksum } from '../objects/checksum.ts';
import { writeFully } from './bytes.ts';

/** A part's file as it was made, under a name of its own. */
export interface BuiltFile {
  path: string;
  checksum: Checksum;
  size: number;
}

/** Writes a new part's file in `folder`; nothing is left of it when that fails. */
export async function writeBuilt(folder: string, pieces: AsyncIterable<Buffer>, fsync: boolean): Promise<BuiltFile> {
  const path = join(folder, `.part-${randomBytes(6).toString('hex')}.tmp`);
  const fd = openSync(path, 'wx', 0o644);
  try {
    const hash = createHash('sha256');
    let size = 0;
    for await (const piece of pieces) {
      hash.update(piece);
      size += piece.length;
      writeFully(fd, piece);
    }
    fchmodSync(fd, 0o644);
    if (fsync) fdatasyncSync(fd);
    return { path, checksum: hash.digest('hex'), size };
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}
