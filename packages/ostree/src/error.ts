export type ErrorCode =
  | 'usage'
  | 'not-found'
  | 'corrupt'
  | 'exists'
  | 'permission'
  | 'no-space'
  | 'network'
  | 'locked'
  | 'invalid'
  | 'unsupported'
  | 'aborted'
  | 'failed';

/** An error for the person who reads it: one line of what failed, on what and why; `hint` says what to do. */
export class AtomicError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: { hint?: string | undefined; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'AtomicError';
    this.code = code;
    this.hint = options.hint;
  }
}

/** Shorthand for data that is not what its format or its checksum says. */
export const corrupt = (message: string, cause?: unknown): AtomicError =>
  new AtomicError('corrupt', message, cause === undefined ? {} : { cause });
