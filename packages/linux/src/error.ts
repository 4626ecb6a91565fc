import { constants } from 'node:os';

// Two names for one number (EAGAIN and EWOULDBLOCK): Node's own errors carry the first, which comes last here and wins.
const names = new Map<number, string>(
  Object.entries(constants.errno)
    .reverse()
    .map(([name, number]) => [number, name]),
);

/** A failed system call, in the shape of Node's own file-system errors. */
export class SyscallError extends Error {
  readonly syscall: string;
  readonly errno: number;
  readonly code: string;
  readonly path: string;

  constructor(syscall: string, errno: number, path: string) {
    const code = names.get(errno) ?? `errno ${errno}`;
    super(`${code}: ${syscall} '${path}'`);
    this.name = 'SyscallError';
    this.syscall = syscall;
    this.errno = errno;
    this.code = code;
    this.path = path;
  }
}

/** The errno name (`ENOENT`, …) of a Node or {@link SyscallError} failure, or undefined for anything else. */
export function errnoCode(error: unknown): string | undefined {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return undefined;
}
