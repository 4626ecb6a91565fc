import { decode } from '../gvariant/decode.ts';
import { encodeVardict, type Metadata, metadataFromValue } from '../gvariant/vardict.ts';

/** Detached metadata above this is not looked at (ostree-core.h, OSTREE_MAX_METADATA_SIZE). */
const MAX_SIZE = 128 * 1024 * 1024;

/** Key of the OpenPGP signatures, `aay` of one binary signature each (ostree-core-private.h). */
export const GPG_SIGNATURES = 'ostree.gpgsigs';

/**
 * Detached metadata or a `summary.sig` (`a{sv}`) as it came from elsewhere. What cannot be read holds no signatures,
 * as with libostree: whoever requires some then refuses, and whoever does not is not held up.
 */
export function decodeSignatures(bytes: Uint8Array | null): Metadata {
  if (bytes === null || bytes.length > MAX_SIZE) return new Map();
  try {
    return metadataFromValue(decode('a{sv}', bytes));
  } catch {
    return new Map();
  }
}

export const encodeSignatures = encodeVardict;

/** The signatures (`aay`) under a key, or null when there is no such key or it holds something else. */
export function signaturesUnder(metadata: Metadata, key: string): Buffer[] | null {
  const found = metadata.get(key);
  if (found?.type !== 'aay' || !Array.isArray(found.value)) return null;
  return found.value.filter((item) => Buffer.isBuffer(item));
}

/** A copy of the metadata with one more signature under a key. */
export function withSignature(metadata: Metadata, key: string, signature: Buffer): Metadata {
  return new Map(metadata).set(key, { type: 'aay', value: [...(signaturesUnder(metadata, key) ?? []), signature] });
}
