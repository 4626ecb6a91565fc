import { errnoCode } from './error.ts';
import { syscall } from './libc.ts';

const ioctlCall = syscall('ioctl', 'int ioctl(int fd, unsigned long request, _Inout_ void *argument)');

// linux/fsverity.h: _IOW('f', 133, struct fsverity_enable_arg), a struct of 128 bytes.
const FS_IOC_ENABLE_VERITY = 0x40806685;

/**
 * Seals a file, open for reading only, with fs-verity (SHA-256, blocks of 4 KiB, as ostree does). True when it is sealed
 * now; false where the file system or the kernel has no fs-verity.
 */
export function enableVerity(fd: number): boolean {
  const argument = Buffer.alloc(128);
  argument.writeUInt32LE(1, 0); // version
  argument.writeUInt32LE(1, 4); // SHA-256
  argument.writeUInt32LE(4096, 8);
  try {
    ioctlCall(`fd ${fd}`, fd, FS_IOC_ENABLE_VERITY, argument);
    return true;
  } catch (error) {
    const code = errnoCode(error) ?? '';
    if (code === 'EEXIST') return true;
    if (['EOPNOTSUPP', 'ENOTSUP', 'ENOTTY', 'ENOSYS'].includes(code)) return false;
    throw error;
  }
}

// linux/fsverity.h: _IOWR('f', 134, struct fsverity_digest)
const FS_IOC_MEASURE_VERITY = 0xc0046686;

/** The fs-verity digest (SHA-256) a sealed file has, or null when it is not sealed. */
export function measureVerity(fd: number): Buffer | null {
  const argument = Buffer.alloc(36);
  argument.writeUInt16LE(32, 2); // room for the digest
  try {
    ioctlCall(`fd ${fd}`, fd, FS_IOC_MEASURE_VERITY, argument);
  } catch {
    return null;
  }
  return argument.readUInt16LE(0) === 1 && argument.readUInt16LE(2) === 32 ? argument.subarray(4) : null;
}
