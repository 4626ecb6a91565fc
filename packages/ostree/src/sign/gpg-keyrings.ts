import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errnoCode } from '@atomic/linux';
import { AtomicError } from '../error.ts';
import { requireRemote } from '../remote/remote.ts';
import type { Repo } from '../repo/repo.ts';
import { keyringOptions } from './gpg-keys.ts';
import { runGpg, withGpgFolder } from './gpg-process.ts';
import type { TrustOptions } from './trust.ts';

const SYSTEM_KEYRINGS = '/usr/share/ostree/trusted.gpg.d';
const MAX_KEYRING = 64 * 1024 * 1024;

/** What is trusted for one purpose. */
export interface Keyrings {
  /** Binary keyrings. */
  rings: Buffer[];
  /** Files of keys to import, armoured or not. */
  keyFiles: string[];
}

/** File of a remote's own keyring, in its repository or beside its configuration (ostree-remote.c). */
export const remoteKeyring = (remote: string): string => `${remote}.trustedkeys.gpg`;

/** Error of a system call, in glnx's words: the tests of stock look for them. */
function fileError(call: string, path: string, error: unknown): AtomicError {
  const code = errnoCode(error);
  const reasons: Record<string, string> = {
    ENOENT: 'No such file or directory',
    EACCES: 'Permission denied',
    EISDIR: 'Is a directory',
  };
  const reason = reasons[code ?? ''] ?? (error instanceof Error ? error.message : String(error));
  return new AtomicError(code === 'ENOENT' ? 'not-found' : 'failed', `${call}(${path}): ${reason}`, { cause: error });
}

function readKeyring(path: string): Buffer {
  try {
    if (statSync(path).size > MAX_KEYRING) throw new AtomicError('invalid', `${path} is too large for a keyring`);
    return readFileSync(path);
  } catch (error) {
    throw error instanceof AtomicError ? error : fileError('openat', path, error);
  }
}

/** The keyrings in a folder: `*.gpg`, without GnuPG's own databases. */
function ringsIn(folder: string): Buffer[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.gpg'))
      .filter(({ name }) => name !== 'trustdb.gpg' && name !== 'secring.gpg')
      .map(({ name }) => readKeyring(join(folder, name)));
  } catch (error) {
    throw error instanceof AtomicError ? error : fileError('opendir', folder, error);
  }
}

/** The keyrings every remote without its own trusts. */
export function globalKeyrings(trust: TrustOptions = {}): Keyrings {
  const folder = trust.gpgHome ?? SYSTEM_KEYRINGS;
  const exists = statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true;
  return { rings: exists ? ringsIn(folder) : [], keyFiles: [] };
}

function findRemoteRing(repo: Repo, remote: string): Buffer | null {
  const folders = [repo.path, repo.remoteTable.dir].filter((folder) => folder !== null);
  for (const folder of folders) {
    const path = join(folder, remoteKeyring(remote));
    if (statSync(path, { throwIfNoEntry: false }) !== undefined) return readKeyring(path);
  }
  return repo.parent === null ? null : findRemoteRing(repo.parent, remote);
}

/** The paths in `gpgkeypath`, separated by `;` or `,`. An empty one is a file that cannot be found, as with stock. */
function keyPaths(value: string | undefined): string[] {
  if (value === undefined) return [];
  if (value.includes(';') && value.includes(',')) {
    throw new AtomicError('invalid', 'key value list contains more than one separator', {
      hint: `separate the paths in gpgkeypath by ; alone: ${value}`,
    });
  }
  return value.replace(/[;,]$/, '').split(/[;,]/);
}

function keyFilesAt(path: string): string[] {
  try {
    if (!statSync(path).isDirectory()) return [path];
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name }) => join(path, name));
  } catch (error) {
    throw fileError('openat', path, error);
  }
}

/**
 * What is trusted for a remote: its own keyring, else the global ones, and in either case what `gpgkeypath` names
 * (files, or folders of them). Throws `not-found` for an unknown remote or a named file that is not there.
 */
export function remoteKeyrings(repo: Repo, remote: string, trust: TrustOptions, global: boolean): Keyrings {
  requireRemote(repo, remote);
  const own = findRemoteRing(repo, remote);
  return {
    rings: own !== null ? [own] : global ? globalKeyrings(trust).rings : [],
    keyFiles: keyPaths(repo.remoteOption(remote, 'gpgkeypath')).flatMap(keyFilesAt),
  };
}

/** What is trusted for looking at what is here already: the keyrings of all remotes and the global ones. */
export function repoKeyrings(repo: Repo, trust: TrustOptions, homedir?: string): Keyrings {
  const extra = homedir === undefined ? [] : ringsIn(homedir);
  return { rings: [...ringsIn(repo.path), ...globalKeyrings(trust).rings, ...extra], keyFiles: [] };
}

/** Lays keyrings out in a folder as its one pubring.gpg. Throws `not-found` for a key file that is not there. */
export async function writeKeyrings(folder: string, keyrings: Keyrings, signal?: AbortSignal): Promise<void> {
  writeFileSync(join(folder, 'pubring.gpg'), Buffer.concat(keyrings.rings), { mode: 0o600 });
  if (keyrings.keyFiles.length === 0) return;
  // Imported rather than appended, so that what one file says about a key (revoked, expired) counts for its copies too.
  await runGpg('gpg', [...keyringOptions(folder), '--import', '--', ...keyrings.keyFiles], { signal });
}

/** The same trust with the key files read in, for use more than once. Throws `not-found` for a file that is not there. */
export async function importKeyFiles(keyrings: Keyrings, signal?: AbortSignal): Promise<Keyrings> {
  if (keyrings.keyFiles.length === 0) return keyrings;
  return await withGpgFolder(async (folder) => {
    await writeKeyrings(folder, keyrings, signal);
    return { rings: [readFileSync(join(folder, 'pubring.gpg'))], keyFiles: [] };
  });
}
