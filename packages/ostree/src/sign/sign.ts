import { readFileSync } from 'node:fs';
import { AtomicError } from '../error.ts';
import { decodeVardict, encodeVardict, type Metadata } from '../gvariant/vardict.ts';
import type { Checksum } from '../objects/checksum.ts';
import type { Repo } from '../repo/repo.ts';
import { ed25519 } from './ed25519.ts';
import { DEFAULT_SIGN_TYPE, type SignEngine, signEngine } from './engine.ts';
import { claimedSigners, findSigner, gpgSign, sameKey } from './gpg-sign.ts';
import { readKeyFile } from './key-engine.ts';
import { decodeSignatures, GPG_SIGNATURES, signaturesUnder, withSignature } from './signatures.ts';
import { spki } from './spki.ts';
import type { TrustOptions } from './trust.ts';
import { writeDetachedMetadata } from './write-detached.ts';

/** Which signatures to make. */
export interface SignRequest {
  /** IDs of GPG keys. */
  gpg?: readonly string[] | undefined;
  /** GnuPG's folder with those keys; by default its own. */
  gpgHomedir?: string | undefined;
  /** Type of the other signatures: ed25519 (the default), spki, dummy. */
  type?: string | undefined;
  /** Secret keys for those, as bytes or base64. */
  secrets?: readonly (string | Buffer)[] | undefined;
  trust?: TrustOptions | undefined;
  signal?: AbortSignal | undefined;
}

/** The secret keys in a file, for a type of signatures. Throws `not-found`, `invalid`, `unsupported`. */
export function readSecretKeys(type: string, path: string): (string | Buffer)[] {
  if (type === ed25519.type) return readKeyFile(ed25519, path, 'secret');
  if (type === spki.type) return readKeyFile(spki, path, 'secret');
  signEngine(type);
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
}

function withKeySignatures(
  data: Uint8Array,
  metadata: Metadata,
  engine: SignEngine,
  secrets: readonly (string | Buffer)[],
): Metadata {
  let signed = metadata;
  for (const secret of secrets) {
    engine.setSecretKey(secret);
    signed = withSignature(signed, engine.metadataKey, engine.sign(data));
  }
  return signed;
}

/**
 * Signs bytes (a delta superblock, a summary, a commit) and returns the metadata there was with the signatures added.
 * `once`: a GPG key that has signed already is refused with `exists`.
 */
export async function signBytes(
  data: Uint8Array,
  existing: Metadata | null,
  request: SignRequest,
  once = false,
): Promise<Metadata> {
  const { signal } = request;
  const secrets = request.secrets ?? [];
  let metadata: Metadata = existing ?? new Map();
  if (secrets.length > 0) {
    const engine = signEngine(request.type ?? DEFAULT_SIGN_TYPE, request.trust);
    metadata = withKeySignatures(data, metadata, engine, secrets);
  }
  for (const keyId of request.gpg ?? []) {
    const signer = await findSigner(keyId, request.gpgHomedir, signal);
    if (once) {
      const claimed = await claimedSigners(signaturesUnder(metadata, GPG_SIGNATURES) ?? [], signal);
      if (claimed.some((id) => signer.fingerprints.some((fingerprint) => sameKey(fingerprint, id)))) {
        throw new AtomicError('exists', `Commit is already signed with GPG key ${keyId}`);
      }
    }
    metadata = withSignature(metadata, GPG_SIGNATURES, await gpgSign(data, signer, signal));
  }
  return metadata;
}

/** Signs a commit object's bytes; returns its detached metadata with the signatures added. */
export async function signCommitBytes(
  bytes: Uint8Array,
  existing: Metadata | null,
  request: SignRequest,
): Promise<Metadata> {
  return await signBytes(bytes, existing, request, true);
}

/** Adds signatures to a commit in a repository. Throws `not-found`, `exists` (signed by that key), `invalid`. */
export async function signCommit(repo: Repo, checksum: Checksum, request: SignRequest): Promise<void> {
  const bytes = repo.loadObject('commit', checksum);
  // Strictly: what cannot be read would be lost when it is written anew.
  const existing = decodeVardict(repo.readDetachedMetadata(checksum) ?? Buffer.alloc(0));
  writeDetachedMetadata(repo, checksum, await signCommitBytes(bytes, existing, request));
}

/** Signs a summary; returns the bytes of `summary.sig`. `existing`: signatures of these very bytes, to keep. */
export async function signSummaryBytes(
  summary: Uint8Array,
  existing: Buffer | null,
  request: SignRequest,
): Promise<Buffer> {
  return encodeVardict(await signBytes(summary, decodeSignatures(existing), request));
}

/** Removes the signatures that verify with an engine's keys from a commit; returns how many there were. */
export function deleteSignatures(repo: Repo, checksum: Checksum, engine: SignEngine): number {
  const bytes = repo.loadObject('commit', checksum);
  const metadata = decodeVardict(repo.readDetachedMetadata(checksum) ?? Buffer.alloc(0));
  const signatures = signaturesUnder(metadata, engine.metadataKey) ?? [];
  const kept = signatures.filter((signature) => {
    try {
      engine.verify(bytes, [signature]);
      return false;
    } catch {
      return true;
    }
  });
  if (kept.length < signatures.length) {
    const changed = new Map(metadata);
    if (kept.length > 0) changed.set(engine.metadataKey, { type: 'aay', value: kept });
    else changed.delete(engine.metadataKey);
    writeDetachedMetadata(repo, checksum, changed);
  }
  return signatures.length - kept.length;
}
