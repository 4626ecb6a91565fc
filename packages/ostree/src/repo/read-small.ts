import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { errnoCode } from '@atomic/linux';
import { corrupt } from '../error.ts';

/** Nearly all metadata objects are smaller: one read brings the whole file. */
const SMALL = 32 * 1024;
let scratch: Buffer | undefined;

/**
 * The bytes of a file that is most likely small, with as few system calls as can be; null when it is not there. Throws
 * `corrupt` above `limit` bytes.
 */
export function readSmallFile(path: string, limit: number): Buffer | null {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return null;
    throw error;
  }
  try {
    scratch ??= Buffer.allocUnsafeSlow(SMALL);
    const count = readSync(fd, scratch, 0, SMALL, 0);
    if (count < SMALL) return Buffer.from(scratch.subarray(0, count));
    const { size } = fstatSync(fd);
    if (size > limit) throw corrupt(`${path} is ${size} bytes, too large for metadata`);
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}
