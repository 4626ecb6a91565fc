import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import { AtomicError, corrupt, type ErrorCode } from '../error.ts';
import type { KeyScheme } from './scheme.ts';

const SEED_SIZE = 32;
const PUBLIC_SIZE = 32;
/** As libsodium has it: the seed, then the public key. */
const SECRET_SIZE = SEED_SIZE + PUBLIC_SIZE;
const SIGNATURE_SIZE = 64;

// What precedes the raw key in its DER form (RFC 8410).
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

function checkLength(bytes: Buffer, expected: number, what: string, code: ErrorCode = 'invalid'): void {
  if (bytes.length === expected) return;
  throw new AtomicError(code, `${what}: Ill-formed input: expected ${expected} bytes, got ${bytes.length} bytes`);
}

/** Ed25519 with raw keys, a line of base64 each in files (libostree's ostree-sign-ed25519.c). */
export const ed25519: KeyScheme = {
  type: 'ed25519',
  metadataKey: 'ostree.sign.ed25519',
  checkPublicKey: (key, what) => checkLength(key, PUBLIC_SIZE, what),
  checkSignature: (signature) => checkLength(signature, SIGNATURE_SIZE, 'Invalid signature', 'corrupt'),
  checkSecretKey: (key) => checkLength(key, SECRET_SIZE, 'Invalid ed25519 secret key'),
  sign(data, secretKey) {
    const key = Buffer.concat([PKCS8_PREFIX, secretKey.subarray(0, SEED_SIZE)]);
    return sign(null, data, createPrivateKey({ key, format: 'der', type: 'pkcs8' }));
  },
  verify(data, publicKey, signature) {
    const key = Buffer.concat([SPKI_PREFIX, publicKey]);
    try {
      return verify(null, data, createPublicKey({ key, format: 'der', type: 'spki' }), signature);
    } catch (error) {
      throw corrupt('Failed to initialize ed25519 key', error);
    }
  },
  readKeys: (text) =>
    text
      .split('\n')
      .filter((line) => line.trim() !== '')
      .map((line) => Buffer.from(line, 'base64')),
};
