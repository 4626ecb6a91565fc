import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { AtomicError, corrupt } from '../error.ts';
import type { KeyScheme } from './scheme.ts';

/** Largest key or signature looked at (ostree-sign-private.h, OSTREE_SIGN_MAX_METADATA_SIZE). */
const MAX_SIZE = 128 * 1024 * 1024;

function privateKey(key: Buffer): KeyObject {
  // OpenSSL finds out by itself which form of DER it is given; Node wants to be told.
  for (const type of ['pkcs8', 'pkcs1', 'sec1'] as const) {
    try {
      return createPrivateKey({ key, format: 'der', type });
    } catch {
      // not of this form
    }
  }
  throw new AtomicError('invalid', 'Failed to initialize spki key');
}

function publicKey(key: Buffer): KeyObject {
  try {
    return createPublicKey({ key, format: 'der', type: 'spki' });
  } catch (error) {
    throw new AtomicError('invalid', 'Failed to initialize spki key', { cause: error });
  }
}

/**
 * Signatures by any kind of key OpenSSL knows, public keys as SubjectPublicKeyInfo, PEM blocks in files (libostree's
 * ostree-sign-spki.c). The digest is the one OpenSSL takes by default for the kind of key.
 */
export const spki: KeyScheme = {
  type: 'spki',
  metadataKey: 'ostree.sign.spki',
  checkPublicKey(key, what) {
    if (key.length > MAX_SIZE) throw new AtomicError('invalid', `${what}: it is too large`);
  },
  checkSignature(signature) {
    if (signature.length > MAX_SIZE) throw corrupt('Invalid signature: it is too large');
  },
  checkSecretKey() {},
  sign: (data, secretKey) => sign(null, data, privateKey(secretKey)),
  verify(data, key, signature) {
    const object = publicKey(key);
    try {
      return verify(null, data, object, signature);
    } catch {
      // A signature that cannot be one of this key's.
      return false;
    }
  },
  readKeys: (text, kind) => pemBlocks(text, kind === 'public' ? 'PUBLIC KEY' : 'PRIVATE KEY'),
};

/** The PEM blocks in a text, all of which must be of one kind. */
function pemBlocks(text: string, label: string): Buffer[] {
  const blocks: Buffer[] = [];
  let open: { label: string; lines: string[] } | null = null;
  for (const raw of text.split('\n')) {
    const line = raw.trim();
    const begin = /^-----BEGIN (.+)-----$/.exec(line)?.[1];
    const end = /^-----END (.+)-----$/.exec(line)?.[1];
    if (open === null) {
      if (begin !== undefined) open = { label: begin, lines: [] };
    } else if (end !== undefined) {
      if (end !== open.label) throw new AtomicError('invalid', 'Unmatched PEM header');
      if (end !== label) throw new AtomicError('invalid', `Unexpected label "${end}"`);
      blocks.push(Buffer.from(open.lines.join(''), 'base64'));
      open = null;
    } else open.lines.push(line);
  }
  if (open !== null) throw new AtomicError('invalid', 'PEM trailer not found');
  return blocks;
}
