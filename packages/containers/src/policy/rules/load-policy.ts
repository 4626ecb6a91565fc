import { AtomicError } from '@atomic/ostree';
import { readSettings } from '../registries/load-registries.ts';
import { type Policy, parsePolicy } from './policy-schema.ts';

/** A policy and the file it is from. */
export interface LoadedPolicy {
  policy: Policy;
  file: string;
}

/** Reads policy.json. Throws `not-found` when there is none (nothing is accepted unasked), `invalid`. */
export function loadPolicy(file: string): LoadedPolicy {
  const text = readSettings(file);
  if (text === undefined) {
    throw new AtomicError('not-found', `there is no policy for images: ${file} is not there`, {
      hint: 'atomic trust default accept    or, to refuse what nothing is said about: atomic trust default reject',
    });
  }
  return { policy: parsePolicy(text, file), file };
}
