import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AtomicError } from '../error.ts';
import { LIST_FORMAT, parseKeyListing } from './gpg-keys.ts';
import { runGpg, withGpgFolder } from './gpg-process.ts';
import { parseVerifyStatus } from './gpg-verify.ts';
import { signaturePackets } from './openpgp.ts';

/** A secret key to sign with. */
export interface GpgSigner {
  /** Fingerprint of the primary key. */
  fingerprint: string;
  /** Fingerprints of all its keys. */
  fingerprints: string[];
  homedir: string | undefined;
}

const homeOptions = (homedir: string | undefined): string[] => (homedir === undefined ? [] : ['--homedir', homedir]);

/** Finds the one secret key that an ID, fingerprint or mail address names; throws `not-found` or `invalid`. */
export async function findSigner(keyId: string, homedir: string | undefined, signal?: AbortSignal): Promise<GpgSigner> {
  const outcome = await runGpg('gpg', [...homeOptions(homedir), ...LIST_FORMAT, '--list-secret-keys', '--', keyId], {
    signal,
  });
  const keys = parseKeyListing(outcome);
  const where = `(homedir: ${homedir ?? '<default>'})`;
  const fingerprints = keys[0]?.subkeys.map((one) => one.fingerprint) ?? [];
  const [fingerprint] = fingerprints;
  if (fingerprint === undefined) {
    throw new AtomicError('not-found', `No gpg key found with ID ${keyId} ${where}`);
  }
  if (keys.length > 1) {
    throw new AtomicError('invalid', `gpg key id ${keyId} ambiguous ${where}. Try the fingerprint instead`);
  }
  return { fingerprint, fingerprints, homedir };
}

/** Makes a detached signature with the system's gpg, whose agent may ask for a passphrase. */
export async function gpgSign(data: Uint8Array, signer: GpgSigner, signal?: AbortSignal): Promise<Buffer> {
  const outcome = await runGpg(
    'gpg',
    [...homeOptions(signer.homedir), '--local-user', signer.fingerprint, '--detach-sign', '--output', '-'],
    { input: data, signal },
  );
  if (!outcome.status.some(([keyword]) => keyword === 'SIG_CREATED') || outcome.stdout.length === 0) {
    throw new AtomicError('failed', `Failure signing commit file: ${outcome.complaint}`, {
      hint: `try: gpg ${homeOptions(signer.homedir).join(' ')} --detach-sign -u ${signer.fingerprint} FILE`,
    });
  }
  return outcome.stdout;
}

/** Fingerprints or 64-bit IDs of the keys that signatures say they were made with, whether that is true or not. */
export async function claimedSigners(blobs: readonly Buffer[], signal?: AbortSignal): Promise<string[]> {
  if (blobs.length === 0) return [];
  return await withGpgFolder(async (folder) => {
    const [ring, file] = [join(folder, 'pubring.gpg'), join(folder, 'signatures')];
    writeFileSync(ring, '');
    writeFileSync(file, Buffer.concat(blobs.flatMap(signaturePackets)));
    // Without any key gpgv reports for each signature whose it would need.
    const outcome = await runGpg('gpgv', ['--homedir', folder, '--keyring', ring, '--', file, '-'], { signal });
    return parseVerifyStatus(outcome).map(({ fingerprint }) => fingerprint);
  });
}

/** Whether two fingerprints or 64-bit IDs can be of the same key. */
export const sameKey = (a: string, b: string): boolean => a !== '' && b !== '' && (a.endsWith(b) || b.endsWith(a));
