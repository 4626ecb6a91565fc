import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AtomicError } from '../error.ts';
import { type Keyrings, writeKeyrings } from './gpg-keyrings.ts';
import { type GpgKey, listKeyring } from './gpg-keys.ts';
import { type GpgOutcome, runGpg, withGpgFolder } from './gpg-process.ts';
import type { GpgSignature, GpgState } from './gpg-result.ts';
import { signaturePackets } from './openpgp.ts';

/** More than anybody signs with, and few enough to be checked in no time. */
const MAX_SIGNATURES = 1000;
const MAX_SIGNATURE_BYTES = 64 * 1024;
const MAX_RUNS = 20;

/** Names of the public-key algorithms of OpenPGP (RFC 4880, 9.1) as GPGME has them. */
const ALGORITHMS: Record<string, string> = {
  1: 'RSA',
  2: 'RSA-E',
  3: 'RSA-S',
  16: 'ELG-E',
  17: 'DSA',
  18: 'ECDH',
  19: 'ECDSA',
  20: 'ELG',
  22: 'EdDSA',
};

const VERDICTS: Record<string, GpgState> = {
  GOODSIG: 'good',
  EXPSIG: 'expired',
  EXPKEYSIG: 'key-expired',
  REVKEYSIG: 'key-revoked',
  BADSIG: 'bad',
};

export interface GpgVerifyOptions {
  /** Also find out who owns the keys and when they expire, which takes a second run of gpg. */
  details?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Checks detached OpenPGP signatures of some bytes against keyrings, with the system's gpgv. A blob that is no
 * signature counts for nothing; when none is one, it throws `corrupt`. Throws `unsupported` without gpgv.
 */
export async function verifyGpg(
  data: Uint8Array,
  blobs: readonly Buffer[],
  keyrings: Keyrings,
  options: GpgVerifyOptions = {},
): Promise<GpgSignature[]> {
  const packets = blobs
    .flatMap((blob) => {
      try {
        return blob.length > MAX_SIGNATURE_BYTES ? [] : signaturePackets(blob);
      } catch {
        return [];
      }
    })
    .slice(0, MAX_SIGNATURES);
  if (packets.length === 0) {
    throw new AtomicError('corrupt', 'GPG: Unable to complete signature verification: No data');
  }
  return await withGpgFolder(async (folder) => {
    await writeKeyrings(folder, keyrings, options.signal);
    const signatures: GpgSignature[] = [];
    for (let run = 0; run < MAX_RUNS && signatures.length < packets.length; run++) {
      const found = await verifyRun(folder, data, packets.slice(signatures.length), options.signal);
      signatures.push(...found);
      // gpgv stops at the first that is bad or has expired; one behind it may still be good.
      const last = found.at(-1)?.state;
      if (last !== 'bad' && last !== 'expired') break;
    }
    const wanted = options.details === true || !signatures.some(({ state }) => state === 'good');
    const keys = wanted ? await listKeyring(folder, [], options.signal) : [];
    return signatures.map((signature) => withKey(signature, keys));
  });
}

/** One run of gpgv over some signatures; throws `corrupt` when it can make nothing of them. */
async function verifyRun(
  folder: string,
  data: Uint8Array,
  packets: readonly Buffer[],
  signal: AbortSignal | undefined,
): Promise<GpgSignature[]> {
  const file = join(folder, 'signatures');
  writeFileSync(file, Buffer.concat(packets));
  const args = ['--homedir', folder, '--keyring', join(folder, 'pubring.gpg'), '--', file, '-'];
  const outcome = await runGpg('gpgv', args, { input: data, signal });
  const signatures = parseVerifyStatus(outcome);
  if (signatures.length > 0) return signatures;
  throw new AtomicError('corrupt', `GPG: Unable to complete signature verification: ${outcome.complaint}`);
}

/** Reads gpg's status lines about signatures (GnuPG's doc/DETAILS). */
export function parseVerifyStatus({ status }: Pick<GpgOutcome, 'status'>): GpgSignature[] {
  const signatures: GpgSignature[] = [];
  let confirmed = false;
  const close = (): void => {
    // A good signature is only one when VALIDSIG has confirmed it.
    const last = signatures.at(-1);
    if (last?.state === 'good' && !confirmed) last.state = 'unknown';
  };
  for (const [keyword = '', ...args] of status) {
    if (keyword === 'NEWSIG') {
      close();
      confirmed = false;
      signatures.push(unknownSignature());
    }
    const current = signatures.at(-1);
    if (current === undefined) continue;
    const verdict = VERDICTS[keyword];
    if (verdict !== undefined) {
      current.state = verdict;
      current.fingerprint = args[0] ?? '';
    } else if (keyword === 'VALIDSIG') {
      confirmed = true;
      current.fingerprint = args[0] ?? '';
      current.made = time(args[2]);
      current.expires = time(args[3]);
      current.algorithm = ALGORITHMS[args[6] ?? ''] ?? current.algorithm;
      current.primaryFingerprint = args[9] ?? '';
    } else if (keyword === 'ERRSIG') {
      current.state = args[5] === '9' ? 'key-missing' : 'unknown';
      const issuer = args[6];
      current.fingerprint = issuer === undefined || issuer === '-' ? (args[0] ?? '') : issuer;
      current.algorithm = ALGORITHMS[args[1] ?? ''] ?? current.algorithm;
      current.made = time(args[4]);
    }
  }
  close();
  return signatures;
}

const unknownSignature = (): GpgSignature => ({
  state: 'unknown',
  fingerprint: '',
  primaryFingerprint: '',
  made: 0,
  expires: 0,
  algorithm: '[unknown name]',
  userName: '[unknown name]',
  userEmail: '[unknown email]',
  keyExpires: 0,
  primaryKeyExpires: 0,
});

/** Seconds, or an ISO date as gpg writes times beyond 2038 on some systems. */
function time(text: string | undefined): number {
  const iso = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)$/.exec(text ?? '');
  if (iso === null) return Number(text) || 0;
  const [year = 0, month = 1, ...rest] = iso.slice(1).map(Number);
  return Date.UTC(year, month - 1, ...rest) / 1000;
}

/** The key in a keyring that a fingerprint or key ID belongs to. */
export function findKey(keys: readonly GpgKey[], id: string): GpgKey | undefined {
  return id === '' ? undefined : keys.find(({ subkeys }) => subkeys.some((one) => one.fingerprint.endsWith(id)));
}

function withKey(signature: GpgSignature, keys: readonly GpgKey[]): GpgSignature {
  const key = findKey(keys, signature.fingerprint);
  const [primary] = key?.subkeys ?? [];
  if (key === undefined || primary === undefined) return signature;
  const [user] = key.userIds;
  return {
    ...signature,
    primaryFingerprint: primary.fingerprint,
    userName: user?.name ?? signature.userName,
    userEmail: user?.email ?? signature.userEmail,
    keyExpires: key.subkeys.find((one) => one.fingerprint === signature.fingerprint)?.expires ?? 0,
    primaryKeyExpires: primary.expires,
  };
}
