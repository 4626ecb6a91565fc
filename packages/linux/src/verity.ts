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
