import { AtomicError, type Checksum, lookup, type Repo, type TreeEntry } from '@atomic/ostree';
import { committedAccounts } from '../../postprocess/index.ts';
import type { InstallConfig } from './config.ts';

/** Throws 'invalid' for what a tree cannot get: found here, before the old system is gone from the disk. */
export function checkConfig(repo: Repo, commit: Checksum, ref: string, config: InstallConfig): void {
  checkAccounts(repo, commit, ref, config);
  checkFiles(repo, commit, ref, config);
}

function checkAccounts(repo: Repo, commit: Checksum, ref: string, { users }: InstallConfig): void {
  const own = committedAccounts(repo, commit);
  const names = new Set(own?.users.map(({ name }) => name));
  const groups = new Set(own?.groups.map(({ name }) => name));
  for (const user of users) {
    if (names.has(user.name) || groups.has(user.name))
      throw new AtomicError(
        'invalid',
        `users: ${ref} has ${names.has(user.name) ? 'a user' : 'a group'} ${user.name}`,
        {
          hint: user.name === 'root' ? "what root gets is said with the key 'root'" : 'name the user otherwise',
        },
      );
    const missing = user.groups.filter((name) => !groups.has(name));
    if (missing.length > 0)
      throw new AtomicError('invalid', `users: ${ref} has no group ${missing.join(', ')} for ${user.name}`, {
        hint: 'name groups of the tree, or of a user before this one',
      });
    // A user has a group of the same name, which those after may join.
    names.add(user.name);
    groups.add(user.name);
  }
}

/** Where a file cannot be: below what is no folder in the tree (a link would lead elsewhere now), or in a folder's place. */
function checkFiles(repo: Repo, commit: Checksum, ref: string, { files }: InstallConfig): void {
  for (const { path } of files) {
    const refuse = (why: string): AtomicError => new AtomicError('invalid', `files: ${path} cannot be written: ${why}`);
    let kind: TreeEntry['kind'] = 'file';
    try {
      kind = lookup(repo, commit, `/usr${path}`).kind;
    } catch (error) {
      if (!(error instanceof AtomicError) || !['not-found', 'invalid'].includes(error.code)) throw error;
      if (error.code === 'invalid') throw refuse(`in ${ref}, what it is below is a link or a file`);
    }
    if (kind === 'directory') throw refuse(`in ${ref}, that is a folder`);
  }
}
