import { randomBytes } from 'node:crypto';
import { closeSync, constants, fchmodSync, fdatasyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fsyncPath } from '@atomic/linux';

/**
 * Replaces a file so that a crash at any instant leaves the old or the new one, whole: written aside, its data
 * flushed, renamed over, and the folder flushed. `sync: false` leaves the flushing to the caller.
 */
export function replaceFile(
  path: string,
  data: string | Uint8Array,
  options: { mode?: number; sync?: boolean } = {},
): void {
  const aside = `${dirname(path)}/.${randomBytes(6).toString('hex')}.tmp`;
  const fd = openSync(aside, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o644);
  try {
    try {
      writeFileSync(fd, data);
      if (options.mode !== undefined) fchmodSync(fd, options.mode);
      if (options.sync !== false) fdatasyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(aside, path);
  } catch (error) {
    rmSync(aside, { force: true });
    throw error;
  }
  if (options.sync !== false) fsyncPath(dirname(path));
}
