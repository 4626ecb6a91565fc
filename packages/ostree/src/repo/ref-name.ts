import { AtomicError } from '../error.ts';

// ostree-core.c: fragments begin with a word character, then also - . _, joined by slashes.
const FRAGMENT = '[\\p{L}\\p{N}_][\\p{L}\\p{N}_.-]*';
const refPattern = new RegExp(`^${FRAGMENT}(/${FRAGMENT})*$`, 'u');
const remotePattern = new RegExp(`^${FRAGMENT}$`, 'u');

/** More of a refused name would bury what is said about it; no part of a path may be longer. */
const SHOWN = 255;

/** A name that is none, for a message: on one line and not endless, whatever is in it. */
function shown(name: string): string {
  const start = name.length > SHOWN ? `${name.slice(0, SHOWN)}…` : name;
  return start.replaceAll(/[\p{Cc}\u2028\u2029]/gu, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** Returns a ref's name if it is one, else throws `invalid`: it becomes a path below `refs/`. */
export function validateRefName(ref: string): string {
  if (!refPattern.test(ref)) throw new AtomicError('invalid', `Invalid ref name ${shown(ref)}`);
  return ref;
}

/** Whether a file name can be one part of a ref's name. */
export const isRefFragment = (name: string): boolean => remotePattern.test(name);

/** Returns a collection ID if it is one (a reverse domain name, as D-Bus interfaces have), else throws `invalid`. */
export function validateCollectionId(id: string): string {
  if (id.length > 255 || !/^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+$/.test(id)) {
    throw new AtomicError('invalid', `Invalid collection ID ${shown(id)}`);
  }
  return id;
}

/** The name, if a remote may be called so: one path segment; throws `invalid`. */
export function validateRemoteName(remote: string): string {
  if (!remotePattern.test(remote)) throw new AtomicError('invalid', `Invalid remote name ${shown(remote)}`);
  return remote;
}

/** Splits `REMOTE:REF` or `REF`, validating both parts. */
export function parseRefspec(refspec: string): { remote: string | null; ref: string } {
  const colon = refspec.indexOf(':');
  const remote = colon < 0 ? null : refspec.slice(0, colon);
  const ref = refspec.slice(colon + 1);
  if (!refPattern.test(ref) || (remote !== null && !remotePattern.test(remote))) {
    throw new AtomicError('invalid', `Invalid refspec ${shown(refspec)}`);
  }
  return { remote, ref };
}
