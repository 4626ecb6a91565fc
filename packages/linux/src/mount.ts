import { syscall } from './libc.ts';

const mountCall = syscall(
  'mount',
  'int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)',
);
const umountCall = syscall('umount2', 'int umount2(const char *target, int flags)');
const mknodCall = syscall('mknod', 'int mknod(const char *path, unsigned int mode, unsigned long device)');

/** Flags of mount(2), from linux/mount.h. */
export const MS = { RDONLY: 1, NOSUID: 2, NODEV: 4, REMOUNT: 32, BIND: 4096, REC: 16384, PRIVATE: 1 << 18 } as const;
/** Flags of umount2(2). */
export const MNT = { FORCE: 1, DETACH: 2 } as const;

/** mount(2). */
export function mount(source: string, target: string, type: string | null, flags: number, data?: string): void {
  mountCall(target, source, target, type, flags, data ?? null);
}

/** umount2(2). */
export function umount(target: string, flags = 0): void {
  umountCall(target, target, flags);
}

/** mknod(2): `mode` holds the file type bits; `device` is makedev's result, 0 for a fifo or an overlayfs whiteout. */
export function mknod(path: string, mode: number, device = 0): void {
  mknodCall(path, path, mode, device);
}
