import { AtomicError } from '@atomic/ostree';

/** Throws AtomicError 'permission' unless this process may make trees: owners, devices and mounts need root. */
export function requireRoot(): void {
  if (process.getuid?.() !== 0) {
    throw new AtomicError('permission', 'composing a tree needs root', { hint: 'run it again with sudo' });
  }
}

/** Errors of the file system as one plain line. */
export function plainError(error: unknown, cachedir: string, signal: AbortSignal | undefined): unknown {
  if (error instanceof AtomicError || !(error instanceof Error)) return error;
  const code = 'code' in error ? error.code : undefined;
  if (code === 'ENOSPC') {
    return new AtomicError('no-space', `no space left while composing (in ${cachedir} or the repository)`, {
      hint: 'free some space, or put the cache elsewhere with --cachedir',
      cause: error,
    });
  }
  if (code === 'EROFS')
    return new AtomicError('permission', `cannot write to ${cachedir}: it is read-only`, {
      hint: 'name another place with --cachedir',
      cause: error,
    });
  if (signal?.aborted) return new AtomicError('aborted', 'the compose was interrupted', { cause: error });
  return error;
}
