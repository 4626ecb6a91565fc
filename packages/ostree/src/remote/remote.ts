import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { AtomicError } from '../error.ts';
import { KeyFile } from '../repo/keyfile.ts';
import { validateRefName, validateRemoteName } from '../repo/ref-name.ts';
import { remoteGroup } from '../repo/remote-table.ts';
import type { Repo } from '../repo/repo.ts';
import { replaceFile } from '../repo/write-file.ts';

/** Throws `not-found` unless the repository (or its parent) knows the remote. */
export function requireRemote(repo: Repo, name: string): void {
  if (repo.remotes().includes(name)) return;
  throw new AtomicError('not-found', `Remote "${name}" not found`, {
    hint: `add it with: ostree remote add ${name} URL`,
  });
}

/** A yes-or-no option of a remote; throws `invalid` for anything else. */
export function remoteBoolean(repo: Repo, name: string, key: string): boolean | undefined {
  const value = repo.remoteOption(name, key)?.trimEnd();
  if (value === undefined) return undefined;
  if (value === 'true' || value === '1') return true;
  if (value === 'false' || value === '0') return false;
  throw new AtomicError('invalid', `${key} of remote "${name}" is '${value}', neither true nor false`);
}

/** The URL of a remote, which may also be given as a `file://` URL itself. Throws `not-found`. */
export function remoteUrl(repo: Repo, name: string): string {
  if (name.startsWith('file://')) return name;
  requireRemote(repo, name);
  const url = repo.remoteOption(name, 'url');
  if (url === undefined) throw new AtomicError('not-found', `No "url" option in remote "${name}"`);
  return url;
}

export interface RemoteAddOptions {
  /** Further keys of the remote's group, such as `gpg-verify`. */
  options?: Record<string, string> | ReadonlyMap<string, string> | undefined;
  /** Branches a pull without any fetches. */
  branches?: readonly string[] | undefined;
  /** Leave a remote of this name as it is. */
  ifNotExists?: boolean | undefined;
  /** Replace a remote of this name; its keyring stays. */
  force?: boolean | undefined;
}

// What a key file can hold: no blank or bracket at the ends, no `=`, and nothing that ends the line.
const keyPattern = /^[^=[\]\s#\0]([^=[\]\n\r\0]*[^=[\]\s\0])?$/;

/**
 * Adds `[remote "NAME"]` as `ostree remote add` writes it: to the repository's config, or to a file of its own in
 * the folder of remotes. The URL may begin with `metalink=` or `mirrorlist=`; a remote of a custom backend needs
 * none. Throws `exists`, `invalid`.
 */
export function remoteAdd(repo: Repo, name: string, url: string | null, options: RemoteAddOptions = {}): void {
  const group = remoteGroup(name);
  const table = repo.remoteTable;
  const existing = table.find(name);
  if (existing !== null && options.force !== true) {
    if (options.ifNotExists) return;
    throw new AtomicError(
      'exists',
      `Remote configuration for "${name}" already exists: ${existing.path ?? '(in config)'}`,
      { hint: `replace it with: ostree remote add --force ${name} URL` },
    );
  }
  const entries = groupEntries(url, options);
  const newPath = table.dir !== null && table.addsToDir ? join(table.dir, `${name}.conf`) : null;
  const path = existing === null ? newPath : existing.path;
  // A clone: what is in memory must not change unless it is written.
  const file = existing?.file.clone() ?? (path === null ? repo.config.clone() : new KeyFile());
  file.removeGroup(group);
  for (const [key, value] of entries) file.set(group, key, value);
  if (path !== null) {
    if (table.dir !== null) mkdirSync(table.dir, { recursive: true });
    replaceFile(path, file.toString(), { sync: repo.fsync });
  } else {
    repo.config.removeGroup(group);
    for (const [key, value] of entries) repo.config.set(group, key, value);
    repo.saveConfig();
  }
  table.reload();
}

function groupEntries(url: string | null, { branches = [], options = {} }: RemoteAddOptions): [string, string][] {
  const extra: [string, string][] = options instanceof Map ? [...options] : Object.entries(options);
  for (const [key] of extra) {
    if (!keyPattern.test(key)) throw new AtomicError('invalid', `'${key}' is not a configuration key`);
  }
  const entries: [string, string][] = [];
  if (url?.startsWith('metalink=')) entries.push(['metalink', url.slice('metalink='.length)]);
  else if (url !== null) entries.push(['url', url]);
  if (branches.length > 0) {
    entries.push(['branches', `${branches.map(validateRefName).join(';')};`]);
  }
  return [...entries, ...extra];
}

/** Removes a remote's definition and its keyring. Its refs stay, as with stock. Throws `not-found`. */
export function remoteDelete(repo: Repo, name: string): void {
  validateRemoteName(name);
  const group = remoteGroup(name);
  const found = repo.remoteTable.find(name);
  if (found === null) {
    requireRemote(repo, name);
    throw new AtomicError('not-found', `Remote "${name}" not found`, {
      hint: `it is defined in the parent repository, ${repo.parent?.path}`,
    });
  }
  if (found.path === null) {
    repo.config.removeGroup(group);
    repo.saveConfig();
  } else {
    const rest = found.file.clone();
    rest.removeGroup(group);
    // Stock removes the file whatever else is in it; other remotes there are nobody's to lose.
    if (rest.groups().length === 0) rmSync(found.path);
    else replaceFile(found.path, rest.toString(), { sync: repo.fsync });
  }
  rmSync(join(repo.path, `${name}.trustedkeys.gpg`), { force: true });
  repo.remoteTable.reload();
}
