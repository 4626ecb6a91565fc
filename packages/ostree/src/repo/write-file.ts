import { closeSync, constants, fchmodSync, fdatasyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fsyncPath } from '@atomic/linux';

let serial = 0;

/** A name that no other process takes at the same time, made without loading the cryptography. */
const asideName = (): string =>
  `${process.pid.toString(36)}-${process.hrtime.bigint().toString(36)}-${(serial++).toString(36)}`;

/** What {@link replaceFile} may leave in a folder when the power goes: a file that is safe to delete. */
export const isAsideName = (name: string): boolean => /^\.[0-9a-z-]+\.tmp$/.test(name);

/**
 * Replaces a file so that a crash at any instant leaves the old or the new one, whole: written aside, its data
 * flushed, renamed over, and the folder flushed. `sync: false` leaves the flushing to the caller.
 */
export function replaceFile(
  path: string,
  data: string | Uint8Array,
  options: { mode?: number; sync?: boolean } = {},
): void {
  const aside = `${dirname(path)}/.${asideName()}.tmp`;
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
