import { AtomicError, importGpgKeys, type Repo, remoteAdd, signEngine } from '@atomic/ostree';

/** Where a host finds its upgrades, and what vouches for them: without any of it, nothing is checked. */
export interface HostRemote {
  name: string;
  url: string;
  /** GPG keys, each as it is in a file: binary or armoured. */
  gpgKeys?: readonly Buffer[] | undefined;
  /** `KEYTYPE=inline:PUBKEY`, or `KEYTYPE=file:PATH` with a path of the host, as `ostree remote add` has them. */
  signVerify?: readonly string[] | undefined;
}

/** Throws 'invalid' for a word of `signVerify` that is none, two of a kind, and a key that cannot be one. */
export function signVerifySettings(words: readonly string[]): Map<string, string> {
  const settings = new Map<string, string>();
  const types = new Set<string>();
  for (const word of words) {
    const [, type = '', kind = '', value = ''] = /^(ed25519|spki)=(inline|file):(\S+)$/.exec(word) ?? [];
    const key = `verification-${type}-${kind === 'inline' ? 'key' : 'file'}`;
    if (value === '' || settings.has(key))
      throw new AtomicError(
        'invalid',
        value === '' ? `'${word}' names no key` : `'${word}' is a second key of its kind`,
        {
          hint: 'such as ed25519=inline:PUBKEY or, with a path of the host, ed25519=file:/etc/keys; a file may have several',
        },
      );
    if (kind === 'inline') signEngine(type).addPublicKey(value);
    settings.set(key, value);
    types.add(type);
  }
  if (types.size > 0) settings.set('sign-verify', [...types].join(','));
  return settings;
}

/** Write to a host's repository where the upgrades of a branch come from. */
export async function addHostRemote(
  repo: Repo,
  { name, url, gpgKeys = [], signVerify = [] }: HostRemote,
  branch: string,
  signal?: AbortSignal,
): Promise<void> {
  const gpg: [string, string] = ['gpg-verify', String(gpgKeys.length > 0)];
  remoteAdd(repo, name, url, { options: new Map([gpg, ...signVerifySettings(signVerify)]), branches: [branch] });
  if (gpgKeys.length === 0) return;
  const imported = await importGpgKeys(repo, name, gpgKeys, { signal });
  if (imported === 0) throw new AtomicError('invalid', `there is no GPG key for the remote ${name}`);
}
