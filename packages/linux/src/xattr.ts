import { errnoCode } from './error.ts';
import { syscall } from './libc.ts';

/** One extended attribute; the name is bytes without the trailing NUL (`user.comment`, `security.capability`, …). */
export interface Xattr {
  name: Buffer;
  value: Buffer;
}

type Target = string | number;

const calls = {
  path: {
    list: syscall('llistxattr', 'long llistxattr(const char *path, _Out_ void *list, size_t size)'),
    get: syscall('lgetxattr', 'long lgetxattr(const char *path, const char *name, _Out_ void *value, size_t size)'),
    set: syscall(
      'lsetxattr',
      'int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags)',
    ),
    remove: syscall('lremovexattr', 'int lremovexattr(const char *path, const char *name)'),
  },
  fd: {
    list: syscall('flistxattr', 'long flistxattr(int fd, _Out_ void *list, size_t size)'),
    get: syscall('fgetxattr', 'long fgetxattr(int fd, const char *name, _Out_ void *value, size_t size)'),
    set: syscall('fsetxattr', 'int fsetxattr(int fd, const char *name, const void *value, size_t size, int flags)'),
  },
};

const of = (target: Target) => (typeof target === 'number' ? calls.fd : calls.path);
const label = (target: Target) => (typeof target === 'number' ? `fd ${target}` : target);

// One scratch buffer for the common case; the kernel's own limit for a value or a list is 64 KiB.
const scratch = Buffer.alloc(65536);
const unsupported = new Set(['ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

function list(target: Target): string[] {
  let length: number;
  try {
    length = of(target).list(label(target), target, scratch, scratch.length);
  } catch (error) {
    if (unsupported.has(errnoCode(error) ?? '')) return [];
    throw error;
  }
  if (length === 0) return [];
  return scratch
    .toString('utf8', 0, length - 1)
    .split('\0')
    .filter((name) => name !== '');
}

function get(target: Target, name: string): Buffer | null {
  try {
    const length = of(target).get(label(target), target, name, scratch, scratch.length);
    return Buffer.from(scratch.subarray(0, length));
  } catch (error) {
    const code = errnoCode(error) ?? '';
    if (code === 'ENODATA' || unsupported.has(code)) return null;
    throw error;
  }
}

/** Names of the extended attributes of `path` itself (a symlink is not followed). */
export const llistxattr = (path: string): string[] => list(path);
/** Value of one extended attribute of `path` itself, or null when it has none of that name. */
export const lgetxattr = (path: string, name: string): Buffer | null => get(path, name);
/** Value of one extended attribute of an open file, or null. */
export const fgetxattr = (fd: number, name: string): Buffer | null => get(fd, name);
/** Names of the extended attributes of an open file. */
export const flistxattr = (fd: number): string[] => list(fd);

/** Sets an extended attribute on `path` itself (a symlink is not followed). */
export function lsetxattr(path: string, name: string, value: Uint8Array): void {
  calls.path.set(path, path, name, value, value.length, 0);
}

/** Sets an extended attribute on an open file. */
export function fsetxattr(fd: number, name: string, value: Uint8Array): void {
  calls.fd.set(`fd ${fd}`, fd, name, value, value.length, 0);
}

/** Removes an extended attribute from `path` itself. */
export function lremovexattr(path: string, name: string): void {
  calls.path.remove(path, path, name);
}

/** All extended attributes of a path (not followed) or an open file, sorted by name as ostree stores them. */
export function readXattrs(target: Target): Xattr[] {
  const found: Xattr[] = [];
  for (const name of list(target)) {
    const value = get(target, name);
    if (value !== null) found.push({ name: Buffer.from(name), value });
  }
  return found.sort((a, b) => Buffer.compare(a.name, b.name));
}
