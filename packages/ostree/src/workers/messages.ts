import { AtomicError, type ErrorCode } from '../error.ts';
import type { JobKind, Jobs } from './jobs.ts';

/** What a thread is started with. */
export interface Start<K extends JobKind> {
  kind: K;
  shared: Jobs[K]['shared'];
}

/** An error as plain data. */
export interface ErrorData {
  message: string;
  /** An {@link AtomicError}'s code, or null for any other error. */
  code: ErrorCode | null;
  hint: string | undefined;
  /** The name of a failed system call's errno. */
  errno: string | undefined;
  stack: string | undefined;
}

/** A thread's answer to a batch: the outputs in order, up to the one that failed. */
export interface Answer<K extends JobKind> {
  outputs: Jobs[K]['output'][];
  error: ErrorData | null;
}

export function errorToData(error: unknown): ErrorData {
  if (!(error instanceof Error)) {
    return { message: String(error), code: null, hint: undefined, errno: undefined, stack: undefined };
  }
  const errno = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  const ours = error instanceof AtomicError;
  return {
    message: error.message,
    code: ours ? error.code : null,
    hint: ours ? error.hint : undefined,
    errno: ours ? undefined : errno,
    stack: error.stack,
  };
}

export function errorFromData(data: ErrorData): Error {
  const error =
    data.code !== null
      ? new AtomicError(data.code, data.message, { hint: data.hint })
      : Object.assign(new Error(data.message), data.errno === undefined ? {} : { code: data.errno });
  if (data.stack !== undefined) error.stack = data.stack;
  return error;
}
