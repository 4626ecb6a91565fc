import { decodeVardict } from '../gvariant/vardict.ts';
import type { Checksum } from '../objects/checksum.ts';
import type { Repo } from '../repo/repo.ts';
import { type Keyrings, remoteKeyrings, repoKeyrings, writeKeyrings } from './gpg-keyrings.ts';
import { listKeyring } from './gpg-keys.ts';
import { withGpgFolder } from './gpg-process.ts';
import { type GpgSignature, gpgFoundText } from './gpg-result.ts';
import { claimedSigners, sameKey } from './gpg-sign.ts';
import { findKey, verifyGpg } from './gpg-verify.ts';
import { decodeSignatures, GPG_SIGNATURES, signaturesUnder } from './signatures.ts';
import type { TrustOptions } from './trust.ts';
import { writeDetachedMetadata } from './write-detached.ts';

export interface GpgLookOptions {
  trust?: TrustOptions | undefined;
  /** Further folder of keyrings. */
  gpgHomedir?: string | undefined;
  /** Judge by this remote's keys alone, instead of by the keys of all remotes. */
  remote?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** The GPG signatures of a stored commit with what is known of their keys; null when it has none. */
export async function commitGpgSignatures(
  repo: Repo,
  checksum: Checksum,
  options: GpgLookOptions = {},
): Promise<GpgSignature[] | null> {
  const blobs = signaturesUnder(decodeSignatures(repo.readDetachedMetadata(checksum)), GPG_SIGNATURES);
  if (blobs === null) return null;
  const { trust = {}, remote, signal } = options;
  const keyrings =
    remote === undefined ? repoKeyrings(repo, trust, options.gpgHomedir) : remoteKeyrings(repo, remote, trust, true);
  return await verifyGpg(repo.loadObject('commit', checksum), blobs, keyrings, { details: true, signal });
}

/** What stock's `show` prints below a commit about its GPG signatures; null for an unsigned one. */
export async function commitGpgText(
  repo: Repo,
  checksum: Checksum,
  options: GpgLookOptions = {},
): Promise<string | null> {
  const signatures = await commitGpgSignatures(repo, checksum, options);
  return signatures === null ? null : gpgFoundText(signatures);
}

/** The GPG signatures of bytes with a signature file beside them, such as a local summary; null when there are none. */
export async function bytesGpgSignatures(
  data: Uint8Array,
  metadata: Buffer,
  keyrings: Keyrings,
  signal?: AbortSignal,
): Promise<GpgSignature[] | null> {
  const blobs = signaturesUnder(decodeSignatures(metadata), GPG_SIGNATURES);
  return blobs === null ? null : await verifyGpg(data, blobs, keyrings, { details: true, signal });
}

/** Removes the GPG signatures that keys made from a commit; returns how many there were. */
export async function deleteGpgSignatures(
  repo: Repo,
  checksum: Checksum,
  keyIds: readonly string[],
  options: GpgLookOptions = {},
): Promise<number> {
  const { trust = {}, gpgHomedir, signal } = options;
  const metadata = decodeVardict(repo.readDetachedMetadata(checksum) ?? Buffer.alloc(0));
  const blobs = signaturesUnder(metadata, GPG_SIGNATURES) ?? [];
  if (blobs.length === 0) return 0;
  const doomed = await fingerprintsOf(keyIds, repoKeyrings(repo, trust, gpgHomedir), signal);
  const kept: Buffer[] = [];
  for (const blob of blobs) {
    const claimed = await claimedSigners([blob], signal).catch(() => []);
    const matches = claimed.some((id) => doomed.some((fingerprint) => sameKey(fingerprint, id)));
    if (!matches) kept.push(blob);
  }
  const changed = new Map(metadata);
  if (kept.length > 0) changed.set(GPG_SIGNATURES, { type: 'aay', value: kept });
  else changed.delete(GPG_SIGNATURES);
  writeDetachedMetadata(repo, checksum, changed);
  return blobs.length - kept.length;
}

/** Fingerprints of all keys and subkeys that IDs mean. IDs that no keyring knows mean themselves. */
async function fingerprintsOf(ids: readonly string[], keyrings: Keyrings, signal?: AbortSignal): Promise<string[]> {
  return await withGpgFolder(async (folder) => {
    await writeKeyrings(folder, keyrings, signal);
    const found: string[] = [];
    for (const id of ids) {
      const keys = await listKeyring(folder, [id], signal);
      const bare = id.replace(/^0x/i, '').toUpperCase();
      if (/^([0-9A-F]{16}|[0-9A-F]{40}|[0-9A-F]{64})$/.test(bare) && findKey(keys, bare) === undefined)
        found.push(bare);
      found.push(...keys.flatMap(({ subkeys }) => subkeys.map((one) => one.fingerprint)));
    }
    return found;
  });
}
