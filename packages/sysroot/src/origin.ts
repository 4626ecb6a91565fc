import { readFileSync } from 'node:fs';
import { errnoCode } from '@atomic/linux';
import { AtomicError, KeyFile, parseRefspec, replaceFile } from '@atomic/ostree';

/** The origin of a deployment that follows a branch (`REMOTE:REF`, or `REF` of the local repository). */
export function makeOrigin(refspec: string): KeyFile {
  parseRefspec(refspec);
  const origin = new KeyFile();
  origin.set('origin', 'refspec', refspec);
  return origin;
}

export function readOrigin(path: string): KeyFile | null {
  try {
    return KeyFile.parse(readFileSync(path, 'utf8'), path);
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/** Replaces an origin file; a crash leaves the old or the new one. `sync: false` when a full sync follows anyway. */
export function writeOrigin(path: string, origin: KeyFile, options: { sync?: boolean } = {}): void {
  replaceFile(path, origin.toString(), { mode: 0o644, ...options });
}

/** The branch a deployment follows (`baserefspec` is what rpm-ostree writes once packages are layered), or undefined. */
export const originRefspec = (origin: KeyFile | null): string | undefined =>
  origin?.get('origin', 'refspec') ?? origin?.get('origin', 'baserefspec');

/** What a deployment follows, a branch or a container image, or undefined. */
export const originFollows = (origin: KeyFile | null): string | undefined =>
  originRefspec(origin) ?? origin?.get('origin', 'container-image-reference');

/** The branch a deployment follows; throws `invalid` when it follows none. */
export function requireRefspec(origin: KeyFile | null): string {
  const refspec = originRefspec(origin);
  if (refspec !== undefined) return refspec;
  const image = originFollows(origin);
  if (image !== undefined)
    throw new AtomicError('invalid', `the deployment follows a container image, ${image}, which has no history`, {
      hint: 'another version of it: atomic host rebase, with the tag or digest of that',
    });
  throw new AtomicError('invalid', 'the deployment has no origin to upgrade from', {
    hint: 'its .origin file needs [origin] refspec=REMOTE:REF',
  });
}

/** `[libostree-transient] pinned`: never removed by what other deployments do. */
export const isPinned = (origin: KeyFile | null): boolean =>
  origin?.getBoolean('libostree-transient', 'pinned') ?? false;

/** How a deployment's /usr was made writable; only a hotfix outlives the boot. */
export type UnlockedState = 'none' | 'development' | 'hotfix' | 'transient';

/** Whether the origin says that the deployment carries a hotfix. */
export const isHotfixed = (origin: KeyFile | null): boolean => origin?.get('origin', 'unlocked') === 'hotfix';

/** A copy for the next deployment: what was true of one deployment only is dropped, as upstream does. */
export function inheritOrigin(origin: KeyFile, overrideCommit?: string): KeyFile {
  const next = origin.clone();
  next.removeGroup('libostree-transient');
  next.removeKey('origin', 'unlocked');
  next.removeKey('origin', 'override-commit');
  if (overrideCommit !== undefined) next.set('origin', 'override-commit', overrideCommit);
  return next;
}
