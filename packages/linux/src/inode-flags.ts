import { errnoCode } from './error.ts';
import { syscall } from './libc.ts';

const ioctlCall = syscall('ioctl', 'int ioctl(int fd, unsigned long request, _Inout_ void *argument)');

// linux/fs.h, 64-bit: _IOR('f', 1, long), _IOW('f', 2, long); the argument is an int all the same.
const FS_IOC_GETFLAGS = 0x80086601;
const FS_IOC_SETFLAGS = 0x40086602;
const FS_IMMUTABLE_FL = 0x10;

/**
 * Sets or clears the immutable flag (chattr ±i) of an open file or folder. File systems without inode flags
 * (tmpfs, overlay) and callers without the capability are passed over, as ostree does: the flag guards against
 * mistakes, nothing relies on it.
 */
export function setImmutable(fd: number, on: boolean): void {
  const flags = Buffer.alloc(8);
  try {
    ioctlCall(`fd ${fd}`, fd, FS_IOC_GETFLAGS, flags);
    const before = flags.readUInt32LE(0);
    const after = on ? before | FS_IMMUTABLE_FL : before & ~FS_IMMUTABLE_FL;
    if (after === before) return;
    flags.writeUInt32LE(after >>> 0, 0);
    ioctlCall(`fd ${fd}`, fd, FS_IOC_SETFLAGS, flags);
  } catch (error) {
    const code = errnoCode(error) ?? '';
    if (!['EOPNOTSUPP', 'ENOTSUP', 'ENOTTY', 'EPERM', 'ENOSYS', 'EINVAL'].includes(code)) throw error;
  }
}
