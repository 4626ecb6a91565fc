import { existsSync, mkdirSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import type { LockOptions } from '@atomic/linux';
import { parseImageName } from '@atomic/oci';
import { AtomicError, replaceFile, runGpg } from '@atomic/ostree';
import { oneLine } from '../one-line.ts';
import { HOST } from '../registries/parse-registries.ts';
import type { SignedIdentity } from '../rules/policy-schema.ts';
import { parseSigstoreKey } from '../signatures/sigstore.ts';
import { keySourceName, readKeySource, withGpgKeys } from '../signatures/simple-signing.ts';
import type { TrustPaths } from '../trust-paths.ts';
import { deleteScope, type RawRequirement, resetPolicy, setDefault, setScope, withTrustLock } from './edit-policy.ts';
import { deleteSignaturePlace, type SignaturePlaceChange, setSignaturePlace } from './edit-registries-d.ts';

export interface TrustAddOptions {
  paths: TrustPaths;
  /** `docker` for images in registries. */
  transport: string;
  /** Registry, namespace, repository or image; '' for all of the transport. */
  scope: string;
  type: 'signedBy' | 'sigstoreSigned' | 'insecureAcceptAnything' | 'reject';
  /** Files of public keys; for `signedBy` also names of keys in the person's own keyring, which are exported. */
  keys: readonly string[];
  /** Folder exported keys are written to. */
  keyFolder: string;
  identity?: SignedIdentity | undefined;
  places?: SignaturePlaceChange | undefined;
  /** Also where the scope has another rule. */
  force?: boolean | undefined;
  lock?: LockOptions | undefined;
  signal?: AbortSignal | undefined;
}

/** What was changed. */
export interface TrustChange {
  changed: boolean;
  files: string[];
  /** Fingerprints (and owners) of the keys that count now. */
  keys: string[];
}

/** Adds a rule for a scope, and where its signatures are. Keys are looked into first: a file without a key is refused. */
export async function addTrust(options: TrustAddOptions): Promise<TrustChange> {
  const { paths, transport, scope, type, places } = options;
  const signed = type === 'signedBy' || type === 'sigstoreSigned';
  if (signed && options.keys.length === 0) {
    throw new AtomicError('usage', `${type} needs a public key`, { hint: 'name its file: --pubkeys FILE' });
  }
  if (!signed && (options.keys.length > 0 || options.identity !== undefined)) {
    throw new AtomicError('usage', `${type} takes neither keys nor an identity`);
  }
  const problem = transport === 'docker' ? dockerScopeProblem(scope) : undefined;
  if (problem !== undefined) throw new AtomicError('usage', `the scope '${scope}' matches nothing: ${problem}`);
  const files = await Promise.all(options.keys.map((key) => keyFile(key, options)));
  const keys = signed ? await keysIn(type, files, options.signal) : [];
  const requirement: RawRequirement = signed
    ? {
        type,
        ...(type === 'signedBy' ? { keyType: 'GPGKeys' } : {}),
        ...(files.length === 1 ? { keyPath: files[0] } : { keyPaths: files }),
        ...(options.identity === undefined ? {} : { signedIdentity: options.identity }),
      }
    : { type };
  return await withTrustLock(paths.policy, options.lock ?? {}, () => {
    // First where signatures are: a crash between the two leaves nothing refused that has one.
    const place = places === undefined ? [] : [setSignaturePlace(paths.registriesD, scope, places)];
    const changed = setScope(paths.policy, transport, scope, [requirement], options.force === true);
    return { changed: changed || place.length > 0, files: [...(changed ? [paths.policy] : []), ...place], keys };
  });
}

/** Why no image of a registry can be in a scope. Files may have such a one, and it is passed over; new ones are mistakes. */
function dockerScopeProblem(scope: string): string | undefined {
  if (scope === '') return undefined;
  const domain = scope.replace(/^\*\./, '');
  if (domain !== scope)
    return /^[a-z0-9.-]+$/i.test(domain) ? undefined : 'a wildcard is *.DOMAIN, without port or path';
  if (!scope.includes('/')) return HOST.test(scope) ? undefined : 'it is no host';
  try {
    const name = parseImageName(scope);
    return name.registry === undefined ? 'it does not begin with a registry' : undefined;
  } catch (error) {
    return error instanceof AtomicError ? error.message : String(error);
  }
}

/** A key as an absolute path: of the file itself, or of what is exported out of the person's keyring. */
async function keyFile(key: string, { type, keyFolder, signal }: TrustAddOptions): Promise<string> {
  if (existsSync(key)) return isAbsolute(key) ? key : resolve(key);
  if (type !== 'signedBy' || key.includes('/')) throw new AtomicError('not-found', `key file ${key} is not there`);
  const { stdout } = await runGpg('gpg', ['--export-options', 'export-minimal', '--export', '--', key], { signal });
  if (stdout.length === 0) {
    throw new AtomicError('not-found', `${key} is neither a file nor a key of your GnuPG keyring`, {
      hint: 'gpg --list-keys shows them; get a key by: gpg --recv-keys FINGERPRINT',
    });
  }
  mkdirSync(keyFolder, { recursive: true, mode: 0o755 });
  const file = join(keyFolder, `${key.replace(/[^A-Za-z0-9.@_-]/g, '_')}.gpg`);
  replaceFile(file, stdout, { mode: 0o644 });
  return file;
}

/** Names of the keys in some files; throws when one has none. */
async function keysIn(
  type: 'signedBy' | 'sigstoreSigned',
  files: readonly string[],
  signal: AbortSignal | undefined,
): Promise<string[]> {
  if (type === 'sigstoreSigned') {
    return files.map((path) => parseSigstoreKey(readKeySource({ path }), keySourceName({ path })).fingerprint);
  }
  const names: string[] = [];
  for (const path of files) {
    await withGpgKeys(
      [{ path }],
      async (_open, keys) => {
        for (const { subkeys, userIds } of keys)
          names.push(`${subkeys[0]?.fingerprint} (${oneLine(userIds[0]?.uid ?? '?')})`);
      },
      signal,
    );
  }
  return names;
}

export interface TrustEditOptions {
  paths: TrustPaths;
  lock?: LockOptions | undefined;
}

/** Takes a scope's rule and its signature places away. Throws `not-found` when there is neither. */
export async function deleteTrust(
  { paths, lock = {} }: TrustEditOptions,
  transport: string,
  scope: string,
): Promise<TrustChange> {
  return await withTrustLock(paths.policy, lock, () => {
    const changed = deleteScope(paths.policy, transport, scope);
    const file = transport === 'docker' && scope !== '' ? deleteSignaturePlace(paths.registriesD, scope) : undefined;
    if (!changed && file === undefined) {
      throw new AtomicError('not-found', `there is no rule for ${scope || `all of ${transport}:`} in ${paths.policy}`, {
        hint: 'atomic trust show lists them',
      });
    }
    return {
      changed: true,
      keys: [],
      files: [...(changed ? [paths.policy] : []), ...(file === undefined ? [] : [file])],
    };
  });
}

/** Sets what holds for all that nothing else is said about. */
export const defaultTrust = async (
  { paths, lock = {} }: TrustEditOptions,
  type: 'insecureAcceptAnything' | 'reject',
): Promise<boolean> => await withTrustLock(paths.policy, lock, () => setDefault(paths.policy, type));

/** Begins anew with an empty policy. The old file is kept as FILE.old, whose path it returns. */
export const resetTrust = async (
  { paths, lock = {} }: TrustEditOptions,
  type: 'insecureAcceptAnything' | 'reject',
): Promise<string | undefined> => await withTrustLock(paths.policy, lock, () => resetPolicy(paths.policy, type));
