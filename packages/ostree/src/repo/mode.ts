import { AtomicError } from '../error.ts';

/** How a repository stores objects (man ostree.repo-config, `core.mode`). */
export type RepoMode = 'bare' | 'bare-user' | 'bare-user-only' | 'bare-split-xattrs' | 'archive';

const modes = new Map<string, RepoMode>([
  ['bare', 'bare'],
  ['bare-user', 'bare-user'],
  ['bare-user-only', 'bare-user-only'],
  ['bare-split-xattrs', 'bare-split-xattrs'],
  ['archive', 'archive'],
  ['archive-z2', 'archive'],
]);

/** The mode a name means (`archive-z2` is the old name of `archive`); throws `invalid`, listing what there is. */
export function parseRepoMode(name: string): RepoMode {
  const mode = modes.get(name);
  if (mode === undefined) {
    throw new AtomicError('invalid', `Invalid mode '${name}' in repository configuration`, {
      hint: 'modes are bare, bare-user, bare-user-only, bare-split-xattrs and archive',
    });
  }
  return mode;
}
