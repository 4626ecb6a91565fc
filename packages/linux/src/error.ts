import { constants } from 'node:os';

let names: Map<number, string> | undefined;

/** The name of an error number. */
function errnoName(errno: number): string {
  // Two names for one number (EAGAIN and EWOULDBLOCK): Node's own errors carry the first, which comes last here and wins.
  names ??= new Map(
    Object.entries(constants.errno)
      .reverse()
      .map(([name, number]) => [number, name]),
  );
  return names.get(errno) ?? `errno ${errno}`;
}

/** A failed system call, in the shape of Node's own file-system errors. */
export class SyscallError extends Error {
  readonly syscall: string;
  readonly errno: number;
  readonly code: string;
  readonly path: string;

  constructor(syscall: string, errno: number, path: string) {
    const code = errnoName(errno);
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
