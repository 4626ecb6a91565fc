import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { syscall } from './libc.ts';

// linux/fs.h: _IOW(0x94, 9, int) and _IOWR(0x94, 54, struct file_dedupe_range)
const FICLONE = 0x40049409;
const FIDEDUPERANGE = 0xc0189436;
const cloneCall = syscall('ioctl', 'int ioctl(int to, unsigned long request, ...)');
const dedupeCall = syscall('ioctl', 'int ioctl(int from, unsigned long request, _Inout_ void *argument)');

/** Bytes per call: what the file systems take at once. */
const RANGE = 16 << 20;

/** Whether files in a folder can share blocks: tried out on two files in it, named `prefix` and then some. */
export function supportsReflink(prefix: string): boolean {
  const paths = [`${prefix}.1`, `${prefix}.2`] as const;
  const fds: number[] = [];
  try {
    for (const path of paths) fds.push(openSync(path, 'wx+', 0o600));
    const [from = -1, to = -1] = fds;
    writeSync(from, 'x');
    cloneCall('clone', to, FICLONE, 'int', from);
    return true;
  } catch {
    return false;
  } finally {
    for (const fd of fds) closeSync(fd);
    for (const path of paths) rmSync(path, { force: true });
  }
}

/**
 * Makes two files of `size` bytes share the blocks in which they are the same; the kernel compares them first, so neither
 * can change by it. False when it could not be done for all of them. `to` must be open for writing.
 */
export function shareBlocks(from: number, to: number, size: number): boolean {
  for (let offset = 0; offset < size; ) {
    const argument = Buffer.alloc(24 + 32);
    argument.writeBigUInt64LE(BigInt(offset), 0);
    argument.writeBigUInt64LE(BigInt(Math.min(RANGE, size - offset)), 8);
    argument.writeUInt16LE(1, 16); // one file to share with
    argument.writeBigInt64LE(BigInt(to), 24);
    argument.writeBigUInt64LE(BigInt(offset), 32);
    try {
      dedupeCall(`fd ${to}`, from, FIDEDUPERANGE, argument);
    } catch {
      return false;
    }
    const shared = Number(argument.readBigUInt64LE(40));
    if (argument.readInt32LE(48) !== 0 || shared === 0) return false;
    offset += shared;
  }
  return true;
}
