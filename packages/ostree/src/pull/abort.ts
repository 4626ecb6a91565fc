import { AtomicError } from '../error.ts';

/** What a pull ends with when its signal is aborted. */
export function abortError(signal: AbortSignal): AtomicError {
  if (signal.reason instanceof AtomicError) return signal.reason;
  return new AtomicError('aborted', 'the pull was interrupted', {
    hint: 'run it again: it continues with what was already fetched',
    cause: signal.reason,
  });
}
