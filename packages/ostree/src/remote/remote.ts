import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { AtomicError } from '../error.ts';
import { validateRefName, validateRemoteName } from '../repo/ref-name.ts';
import type { Repo } from '../repo/repo.ts';

/** Throws `not-found` unless the repository knows the remote. */
export function requireRemote(repo: Repo, name: string): void {
  validateRemoteName(name);
  if (repo.remotes().includes(name)) return;
  throw new AtomicError('not-found', `Remote "${name}" not found`, {
    hint: `add it with: ostree remote add ${name} URL`,
  });
}

/** A yes-or-no option of a remote; throws `invalid` for anything else. */
export function remoteBoolean(repo: Repo, name: string, key: string): boolean | undefined {
  const value = repo.remoteOption(name, key);
  if (value === undefined) return undefined;
  if (value === 'true' || value === '1') return true;
  if (value === 'false' || value === '0') return false;
  throw new AtomicError('invalid', `${key} of remote "${name}" is '${value}', neither true nor false`);
}

export interface RemoteAddOptions {
  /** Further keys of the remote's group, such as `gpg-verify`. */
  options?: Record<string, string> | undefined;
  /** Branches a pull without any fetches. */
  branches?: readonly string[] | undefined;
  /** Leave a remote of this name as it is. */
  ifNotExists?: boolean | undefined;
}

const keyPattern = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/** Adds `[remote "NAME"]` to the repository's config, as `ostree remote add` writes it. Throws `exists`, `invalid`. */
export function remoteAdd(repo: Repo, name: string, url: string, options: RemoteAddOptions = {}): void {
  const group = `remote "${validateRemoteName(name)}"`;
  if (repo.remotes().includes(name)) {
    if (options.ifNotExists) return;
    throw new AtomicError('exists', `Remote configuration for "${name}" already exists`, {
      hint: `change it in the repository's config, or remove it with: ostree remote delete ${name}`,
    });
  }
  const metalink = url.startsWith('metalink=');
  const branches = (options.branches ?? []).map(validateRefName);
  const extra = Object.entries(options.options ?? {});
  for (const [key] of extra) {
    if (!keyPattern.test(key)) throw new AtomicError('invalid', `'${key}' is not a configuration key`);
  }
  repo.config.set(group, metalink ? 'metalink' : 'url', metalink ? url.slice('metalink='.length) : url);
  if (branches.length > 0) repo.config.set(group, 'branches', `${branches.join(';')};`);
  for (const [key, value] of extra) repo.config.set(group, key, value);
  repo.saveConfig();
}

/** Removes a remote from the config, with its keys. Its refs stay, as with stock. Throws `not-found`. */
export function remoteDelete(repo: Repo, name: string): void {
  requireRemote(repo, name);
  if (!repo.config.removeGroup(`remote "${name}"`)) {
    throw new AtomicError('unsupported', `remote "${name}" is not in the repository's own config`, {
      hint: 'remove its file in /etc/ostree/remotes.d',
    });
  }
  repo.saveConfig();
  rmSync(join(repo.path, `${name}.trustedkeys.gpg`), { force: true });
}
