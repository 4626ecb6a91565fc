import { errnoCode } from './error.ts';
import { syscall } from './libc.ts';

/** One extended attribute; the name is bytes without the trailing NUL (`user.comment`, `security.capability`, …). */
export interface Xattr {
  name: Buffer;
  value: Buffer;
}

type Target = string | number;
/** The kernel's names are bytes; text stands for its UTF-8. */
export type XattrName = string | Uint8Array;

const calls = {
  path: {
    list: syscall('llistxattr', 'long llistxattr(const char *path, _Out_ void *list, size_t size)'),
    get: syscall('lgetxattr', 'long lgetxattr(const char *path, const void *name, _Out_ void *value, size_t size)'),
    set: syscall(
      'lsetxattr',
      'int lsetxattr(const char *path, const void *name, const void *value, size_t size, int flags)',
    ),
    remove: syscall('lremovexattr', 'int lremovexattr(const char *path, const void *name)'),
  },
  fd: {
    list: syscall('flistxattr', 'long flistxattr(int fd, _Out_ void *list, size_t size)'),
    get: syscall('fgetxattr', 'long fgetxattr(int fd, const void *name, _Out_ void *value, size_t size)'),
    set: syscall('fsetxattr', 'int fsetxattr(int fd, const void *name, const void *value, size_t size, int flags)'),
  },
};

const of = (target: Target) => (typeof target === 'number' ? calls.fd : calls.path);
const label = (target: Target) => (typeof target === 'number' ? `fd ${target}` : target);
/** A name as C wants it: with a NUL at its end. */
const terminated = (name: XattrName) =>
  typeof name === 'string' ? Buffer.from(`${name}\0`) : Buffer.concat([name, Buffer.alloc(1)]);

// One scratch buffer for the common case; the kernel's own limit for a value or a list is 64 KiB.
const scratch = Buffer.alloc(65536);
const unsupported = new Set(['ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

function list(target: Target): Buffer[] {
  let length: number;
  try {
    length = of(target).list(label(target), target, scratch, scratch.length);
  } catch (error) {
    if (unsupported.has(errnoCode(error) ?? '')) return [];
    throw error;
  }
  const names: Buffer[] = [];
  for (let start = 0; start < length; ) {
    const end = scratch.indexOf(0, start);
    if (end < 0 || end >= length) break;
    if (end > start) names.push(Buffer.from(scratch.subarray(start, end)));
    start = end + 1;
  }
  return names;
}

function get(target: Target, name: XattrName): Buffer | null {
  try {
    const length = of(target).get(label(target), target, terminated(name), scratch, scratch.length);
    return Buffer.from(scratch.subarray(0, length));
  } catch (error) {
    const code = errnoCode(error) ?? '';
    if (code === 'ENODATA' || unsupported.has(code)) return null;
    throw error;
  }
}

/** Value of one extended attribute of `path` itself, or null when it has none of that name. */
export const lgetxattr = (path: string, name: XattrName): Buffer | null => get(path, name);
/** Value of one extended attribute of an open file, or null. */
export const fgetxattr = (fd: number, name: XattrName): Buffer | null => get(fd, name);
/** Sets an extended attribute on `path` itself (a symlink is not followed). */
export function lsetxattr(path: string, name: XattrName, value: Uint8Array): void {
  calls.path.set(path, path, terminated(name), value, value.length, 0);
}

/** Sets an extended attribute on an open file. */
export function fsetxattr(fd: number, name: XattrName, value: Uint8Array): void {
  calls.fd.set(`fd ${fd}`, fd, terminated(name), value, value.length, 0);
}

/** Removes an extended attribute from `path` itself. */
export function lremovexattr(path: string, name: XattrName): void {
  calls.path.remove(path, path, terminated(name));
}

/** All extended attributes of a path (not followed) or an open file, sorted by name as ostree stores them. */
export function readXattrs(target: Target): Xattr[] {
  const found: Xattr[] = [];
  for (const name of list(target)) {
    const value = get(target, name);
    if (value !== null) found.push({ name, value });
  }
  return found.sort((a, b) => Buffer.compare(a.name, b.name));
}
