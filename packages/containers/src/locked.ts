import { LockedError } from '@atomic/linux';
import { AtomicError } from '@atomic/ostree';

/** An error of taking a lock, for people: `locked`, where it is held and nobody waits; any other as it is. */
export function asLocked(error: unknown, what: string): unknown {
  if (!(error instanceof LockedError)) return error;
  return new AtomicError('locked', `another command is ${what} (${error.message})`, {
    hint: 'wait for it, or leave out --no-wait',
    cause: error,
  });
}
