import { readSync, writeSync } from 'node:fs';
import { errnoCode } from './error.ts';
import { syscall } from './libc.ts';

const FICLONE = 0x40049409;
const clone = syscall('ioctl', 'int ioctl(int to, unsigned long request, ...)');
const copyRange = syscall(
  'copy_file_range',
  'long copy_file_range(int from, void *fromOffset, int to, void *toOffset, size_t length, unsigned int flags)',
);
/** What the two calls say where they cannot do it: other file systems, older kernels, a sandbox. */
const cannot = new Set(['EOPNOTSUPP', 'ENOTSUP', 'EXDEV', 'EINVAL', 'ENOTTY', 'ENOSYS', 'EPERM', 'EBADF', 'ETXTBSY']);
const PIECE = 1 << 20;

function attempt(call: () => number): number | null {
  try {
    return call();
  } catch (error) {
    if (cannot.has(errnoCode(error) ?? '')) return null;
    throw error;
  }
}

/**
 * Makes the empty file `to` hold what the file `from` holds: by sharing its blocks where the file system can, else by a
 * copy within the kernel, else through memory. Owner, mode and times stay as they are (Node's copyFile changes them).
 */
export function copyContent(from: number, to: number): void {
  if (attempt(() => clone('clone', to, FICLONE, 'int', from)) !== null) return;
  for (;;) {
    const copied = attempt(() => copyRange('copy', from, null, to, null, 1 << 30, 0));
    if (copied === null) break;
    if (copied === 0) return;
  }
  const buffer = Buffer.allocUnsafe(PIECE);
  for (let got = readSync(from, buffer); got > 0; got = readSync(from, buffer)) {
    for (let at = 0; at < got; ) at += writeSync(to, buffer, at, got - at);
  }
}
