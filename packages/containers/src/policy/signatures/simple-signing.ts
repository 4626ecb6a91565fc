import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errnoCode } from '@atomic/linux';
import {
  AtomicError,
  findGpgKey,
  type GpgKey,
  type GpgState,
  gpgKeysIn,
  parseGpgStatus,
  runGpg,
  withGpgFolder,
  writeKeyrings,
} from '@atomic/ostree';

/** Largest signature that is looked at; containers/image has the same bound. */
export const MAX_SIGNATURE = 4 * 1024 * 1024;

/** Where the keys of a rule are; each file may hold several, armoured or not. */
export type KeySource = { path: string } | { data: Buffer; name: string };

/** How a key source is called in messages. */
export const keySourceName = (source: KeySource): string => ('path' in source ? source.path : source.name);

/** Bytes of a key source; throws `not-found` when its file is not there. */
export function readKeySource(source: KeySource): Buffer {
  if ('data' in source) return source.data;
  try {
    return readFileSync(source.path);
  } catch (error) {
    const missing = errnoCode(error) === 'ENOENT';
    const why = missing ? 'is not there' : error instanceof Error ? error.message : String(error);
    throw new AtomicError(missing ? 'not-found' : 'failed', `key file ${source.path} ${why}`, { cause: error });
  }
}

/** What gpg says of one signed message. */
export interface OpenedMessage {
  state: GpgState;
  /** Fingerprint (or, of an unknown key, what is known of it). */
  fingerprint: string;
  primaryFingerprint: string;
  user: string;
  /** Unix seconds; 0: never. */
  keyExpires: number;
  signatureExpires: number;
  /** What was signed; only when the state is `good`. */
  content: Buffer | undefined;
}

/**
 * Opens OpenPGP signed messages with gpgv, against keys in a folder of its own: no keyring of the person or the system
 * counts. Throws `unsupported` without gpg, `not-found` or `invalid` when the keys cannot be had.
 */
export async function withGpgKeys<T>(
  sources: readonly KeySource[],
  work: (open: (message: Buffer) => Promise<OpenedMessage>, keys: readonly GpgKey[]) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  return await withGpgFolder(async (folder) => {
    const keyFiles = sources.map((source, i) => {
      const file = join(folder, `key-${i}`);
      writeFileSync(file, readKeySource(source));
      return file;
    });
    await writeKeyrings(folder, { rings: [], keyFiles }, signal);
    const keys = await gpgKeysIn(folder, [], signal);
    if (keys.length === 0) {
      throw new AtomicError('invalid', `there is no OpenPGP key in ${sources.map(keySourceName).join(', ')}`);
    }
    return await work((message) => openMessage(folder, message, keys, signal), keys);
  });
}

async function openMessage(
  folder: string,
  message: Buffer,
  keys: readonly GpgKey[],
  signal: AbortSignal | undefined,
): Promise<OpenedMessage> {
  const file = join(folder, 'message');
  if (message.length > MAX_SIGNATURE) throw new AtomicError('invalid', 'the signature is larger than 4 MiB');
  // A cleartext signature can be read as signing other bytes than are shown; the format forbids it.
  if (message.subarray(0, 64).toString('latin1').includes('BEGIN PGP SIGNED MESSAGE')) {
    throw new AtomicError('invalid', 'it is a cleartext signature, not a signed message');
  }
  writeFileSync(file, message);
  const args = ['--homedir', folder, '--keyring', join(folder, 'pubring.gpg'), '--output', '-', '--', file];
  const outcome = await runGpg('gpgv', args, { signal });
  const signatures = parseGpgStatus(outcome);
  const plaintexts = outcome.status.filter(([keyword]) => keyword === 'PLAINTEXT').length;
  const [signature] = signatures;
  if (signature === undefined) {
    throw new AtomicError(
      'invalid',
      `it is not an OpenPGP signed message${outcome.complaint && ` (${outcome.complaint})`}`,
    );
  }
  if (signatures.length > 1 || plaintexts > 1) {
    throw new AtomicError(
      'invalid',
      `it has ${signatures.length} signatures over ${plaintexts} texts; only one of each may be`,
    );
  }
  const key = findGpgKey(keys, signature.fingerprint);
  const used = key?.subkeys.find(({ fingerprint }) => fingerprint === signature.fingerprint);
  const whole = outcome.code === 0 && plaintexts === 1;
  const state = signature.state === 'good' && !whole ? 'bad' : signature.state;
  return {
    state,
    fingerprint: signature.fingerprint,
    primaryFingerprint: key?.subkeys[0]?.fingerprint ?? signature.primaryFingerprint,
    user: key?.userIds[0]?.uid ?? '',
    keyExpires: used?.expires ?? key?.subkeys[0]?.expires ?? 0,
    signatureExpires: signature.expires,
    content: state === 'good' ? outcome.stdout : undefined,
  };
}
