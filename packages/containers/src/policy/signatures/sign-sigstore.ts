import { createPrivateKey, type KeyObject, sign } from 'node:crypto';
import { AtomicError } from '@atomic/ostree';
import { isCosignKey, readCosignKey } from './cosign-key.ts';
import { formatClaim, type SignedClaim } from './payload.ts';
import { SIGNATURE_ANNOTATION, SIGSTORE_MEDIA, type SigstoreSignature, signingHash } from './sigstore.ts';

const KINDS = ['ec', 'ed25519', 'rsa'];

/**
 * Reads a private key to sign with: PEM as openssl writes it, with a passphrase or without, or cosign's own form.
 * Throws `invalid`, `usage` when a passphrase is needed, `permission` when it is the wrong one.
 */
export function readSigningKey(pem: Buffer, file: string, passphrase?: Buffer): KeyObject {
  if (passphrase === undefined && pem.includes('ENCRYPTED')) {
    throw new AtomicError('usage', `${file} has a passphrase`, {
      hint: 'name a file that holds it: --passphrase-file',
    });
  }
  if (passphrase !== undefined && isCosignKey(pem)) return readCosignKey(pem, file, passphrase);
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: pem, ...(passphrase === undefined ? {} : { passphrase }) });
  } catch (cause) {
    if (passphrase !== undefined && pem.includes('ENCRYPTED')) {
      throw new AtomicError('permission', `the passphrase is not that of ${file}`, { cause });
    }
    throw new AtomicError('invalid', `${file} is not a private key in PEM`, { cause });
  }
  if (KINDS.includes(key.asymmetricKeyType ?? '')) return key;
  throw new AtomicError('invalid', `${file}: keys of type ${key.asymmetricKeyType} cannot sign images`, {
    hint: 'make one by: openssl genpkey -algorithm ed25519 -out KEY.pem',
  });
}

/** Signs a claim with a key, as cosign does. */
export function signSigstore(claim: SignedClaim, key: KeyObject): SigstoreSignature {
  const payload = formatClaim(claim, 'sigstore');
  const signature = sign(signingHash(key), payload, key).toString('base64');
  return { mediaType: SIGSTORE_MEDIA, payload, annotations: { [SIGNATURE_ANNOTATION]: signature } };
}
