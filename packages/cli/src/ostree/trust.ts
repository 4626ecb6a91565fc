import { AtomicError, readSecretKeys, type SignRequest, type TrustOptions } from '@atomic/ostree';
import type { OptionSpec, Options } from './options.ts';

/** What the environment says about trust, as for stock. */
export function trustFromEnvironment(): TrustOptions {
  const gpgHome = process.env['OSTREE_GPG_HOME'];
  return {
    ...(gpgHome === undefined || gpgHome === '' ? {} : { gpgHome }),
    dummy: process.env['OSTREE_DUMMY_SIGN_ENABLED'] === '1',
  };
}

export const GPG_HOMEDIR: OptionSpec = {
  long: 'gpg-homedir',
  arg: 'HOMEDIR',
  text: 'GPG Homedir to use when looking for keyrings',
};

/** The options of verbs that sign what they make; `what` is the thing. */
export const signOptions = (what: string): OptionSpec[] => [
  { long: 'gpg-sign', arg: 'KEY-ID', text: `GPG Key ID to sign the ${what} with` },
  GPG_HOMEDIR,
  { long: 'sign', arg: 'KEY-ID', text: `Key ID to sign the ${what} with` },
  { long: 'sign-type', arg: 'NAME', text: "Signature type to use (defaults to 'ed25519')" },
];

/** For verbs that also take keys from files. */
export const SIGN_FROM_FILE: OptionSpec = {
  long: 'sign-from-file',
  arg: 'PATH',
  text: 'Sign the commit with key from the provided file',
};

/** What {@link signOptions} asked for, and the first key of each file; undefined when that is no signature at all. */
export function signRequest(
  options: Options,
  files: readonly string[] = [],
  signal?: AbortSignal,
): SignRequest | undefined {
  const gpg = options.list('gpg-sign');
  const inline = options.list('sign');
  if (gpg.length + inline.length + files.length === 0) return undefined;
  const type = options.value('sign-type') ?? 'ed25519';
  return {
    gpg,
    gpgHomedir: options.value('gpg-homedir'),
    type,
    secrets: [...inline, ...files.map((path) => firstKey(type, path))],
    trust: trustFromEnvironment(),
    signal,
  };
}

function firstKey(type: string, path: string): string | Buffer {
  const [key] = readSecretKeys(type, path);
  if (key === undefined) throw new AtomicError('invalid', `Reading ${path}: no key in it`);
  return key;
}
