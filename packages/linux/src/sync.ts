import { closeSync, constants, fdatasyncSync, fsyncSync, openSync } from 'node:fs';
import { syscall } from './libc.ts';

const syncfsCall = syscall('syncfs', 'int syncfs(int fd)');
const ioctlCall = syscall('ioctl', 'int ioctl(int fd, unsigned long request, void *argument)');

// linux/fs.h: _IOWR('X', 119, int) and _IOWR('X', 120, int)
const FIFREEZE = 0xc0045877;
const FITHAW = 0xc0045878;

/** Writes every dirty page of the file system that holds `fd`. */
export function syncfs(fd: number): void {
  syncfsCall(`fd ${fd}`, fd);
}

/** Freezes the file system of `fd` (FIFREEZE): its journal is flushed to where a boot loader reads. Thaw soon after. */
export function freeze(fd: number): void {
  ioctlCall(`fd ${fd}`, fd, FIFREEZE, null);
}

/** Ends {@link freeze}. */
export function thaw(fd: number): void {
  ioctlCall(`fd ${fd}`, fd, FITHAW, null);
}

/** Runs `use` with a read-only descriptor of a file or folder. */
export function withFd<T>(path: string, use: (fd: number) => T): T {
  const fd = openSync(path, constants.O_RDONLY);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

/** fsync of a file or folder by path: after renames, the folder is what makes them durable. */
export function fsyncPath(path: string): void {
  withFd(path, fsyncSync);
}

/** fdatasync of a file by path. */
export function fdatasyncPath(path: string): void {
  withFd(path, fdatasyncSync);
}

/** syncfs of the file system that holds `path`. */
export function syncfsPath(path: string): void {
  withFd(path, syncfs);
}
