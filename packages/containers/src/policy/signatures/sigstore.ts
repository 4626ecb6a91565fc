import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto';
import { AtomicError } from '@atomic/ostree';

// The format of cosign's signatures as containers/image and cosign 2 store them beside an image.
export const SIGSTORE_MEDIA = 'application/vnd.dev.cosign.simplesigning.v1+json';
export const SIGNATURE_ANNOTATION = 'dev.cosignproject.cosign/signature';
export const BUNDLE_ANNOTATION = 'dev.sigstore.cosign/bundle';
export const CERTIFICATE_ANNOTATION = 'dev.sigstore.cosign/certificate';

/** A signature beside an image: what was signed, and the rest in annotations. Nothing of it is trusted yet. */
export interface SigstoreSignature {
  mediaType: string;
  payload: Buffer;
  annotations: Readonly<Record<string, string>>;
}

/** A public key that may sign, and what to call it. */
export interface SigstoreKey {
  key: KeyObject;
  /** `SHA256:…` of the key in DER. */
  fingerprint: string;
  /** The file it is from. */
  name: string;
}

/** SHA-256 of a public key's SubjectPublicKeyInfo, as `SHA256:` and base64. */
const keyFingerprint = (key: KeyObject): string =>
  `SHA256:${createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('base64')
    .replace(/=+$/, '')}`;

/** Reads a PEM public key (ECDSA, ed25519 or RSA); `name` is the file's, for messages. Throws `invalid`. */
export function parseSigstoreKey(pem: Buffer, name: string): SigstoreKey {
  let key: KeyObject | undefined;
  if (pem.includes('-----BEGIN PUBLIC KEY-----')) {
    try {
      key = createPublicKey(pem);
    } catch {
      // Told below.
    }
  }
  if (key === undefined) {
    throw new AtomicError('invalid', `${name} is not a public key in PEM`, {
      hint: 'a sigstore public key begins with -----BEGIN PUBLIC KEY-----',
    });
  }
  if (!['ec', 'ed25519', 'rsa'].includes(key.asymmetricKeyType ?? '')) {
    throw new AtomicError('invalid', `${name}: keys of type ${key.asymmetricKeyType} cannot sign images`);
  }
  return { key, fingerprint: keyFingerprint(key), name };
}

/** The digest a kind of key signs: sigstore has SHA-256 for all but ed25519, which hashes by itself. */
export const signingHash = (key: KeyObject): 'sha256' | null => (key.asymmetricKeyType === 'ed25519' ? null : 'sha256');

/** Which of the keys made a signature of the payload; undefined when none did. */
export function whoSigned(
  { payload, annotations }: SigstoreSignature,
  keys: readonly SigstoreKey[],
): SigstoreKey | undefined {
  const text = annotations[SIGNATURE_ANNOTATION] ?? '';
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text) || text === '') return undefined;
  const signature = Buffer.from(text, 'base64');
  return keys.find(({ key }) => {
    try {
      return verify(signingHash(key), payload, key, signature);
    } catch {
      // A signature that cannot be one of this key's.
      return false;
    }
  });
}
