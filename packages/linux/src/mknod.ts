import { syscall } from './libc.ts';

const S_IFCHR = 0o020000;
const call = syscall('mknod', 'int mknod(const char *path, unsigned int mode, unsigned long device)');

/** Makes the character device 0:0 at `path`: what overlayfs takes for "deleted here". Needs no privilege since Linux 5.8. */
export function makeWhiteout(path: string, permissions: number): void {
  call(path, path, S_IFCHR | permissions, 0);
}
