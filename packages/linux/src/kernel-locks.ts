import { closeSync, openSync, read, readFileSync } from 'node:fs';

const LOCKS = '/proc/locks';

/** The kernel's list of file locks, see proc_locks(5). */
export const kernelLocks = (): string => readFileSync(LOCKS, 'latin1');

/**
 * As {@link kernelLocks}, while the caller goes on: the first read takes the kernel some 10 ms, in which it only waits
 * until every processor has seen that nobody may lock now.
 */
export async function kernelLocksSoon(): Promise<string> {
  // Opened here: a thread that reads needs nothing more of this one, which may be busy until the answer is there.
  const fd = openSync(LOCKS, 'r');
  try {
    const first = await new Promise<Buffer>((resolve, reject) => {
      read(fd, Buffer.alloc(1 << 16), 0, 1 << 16, null, (error, bytes, buffer) =>
        error === null ? resolve(buffer.subarray(0, bytes)) : reject(error),
      );
    });
    return first.toString('latin1') + readFileSync(fd, 'latin1');
  } finally {
    closeSync(fd);
  }
}
