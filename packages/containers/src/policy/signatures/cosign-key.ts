import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, scryptSync } from 'node:crypto';
import { haveSodium, openSecretbox, SECRETBOX, sealSecretbox } from '@atomic/linux';
import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';

// Private keys as cosign, podman and skopeo keep them: a PEM block of JSON, in which PKCS #8 lies encrypted by NaCl's
// secretbox under a key that scrypt makes of the passphrase (go-securesystemslib, package encrypted).

const BLOCK = /-----BEGIN ENCRYPTED (?:SIGSTORE|COSIGN) PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END ENCRYPTED/;
const MAX_SCRYPT_MEMORY = 256 * 1024 * 1024;

const schema = z.object({
  kdf: z.object({
    name: z.literal('scrypt'),
    params: z.object({
      N: z
        .int()
        .min(2)
        .max(1 << 20),
      r: z.int().min(1).max(16),
      p: z.int().min(1).max(4),
    }),
    salt: z.base64(),
  }),
  cipher: z.object({ name: z.literal('nacl/secretbox'), nonce: z.base64() }),
  ciphertext: z.base64(),
});

const derive = (passphrase: Buffer, salt: Buffer, params: { N: number; r: number; p: number }): Buffer =>
  scryptSync(passphrase, salt, SECRETBOX.key, { ...params, maxmem: MAX_SCRYPT_MEMORY });

const needSodium = (): AtomicError =>
  new AtomicError('unsupported', 'keys in the form of cosign need libsodium, which is not installed', {
    hint: 'install the package libsodium23 (libsodium), or make a key by: openssl genpkey -algorithm ed25519 -out KEY.pem',
  });

/** Whether a file is such a key. */
export const isCosignKey = (pem: Buffer): boolean => BLOCK.test(pem.toString('latin1'));

/** Opens such a key. Throws `invalid`, `permission` for a wrong passphrase, `unsupported` without libsodium. */
export function readCosignKey(pem: Buffer, file: string, passphrase: Buffer): KeyObject {
  if (!haveSodium()) throw needSodium();
  let sealed: z.output<typeof schema>;
  try {
    const body = BLOCK.exec(pem.toString('latin1'))?.[1] ?? '';
    sealed = schema.parse(JSON.parse(Buffer.from(body, 'base64').toString('utf8')));
  } catch (cause) {
    throw new AtomicError('invalid', `${file} is not a private key of cosign`, { cause });
  }
  const bytes = (text: string): Buffer => Buffer.from(text, 'base64');
  const nonce = bytes(sealed.cipher.nonce);
  if (nonce.length !== SECRETBOX.nonce) throw new AtomicError('invalid', `${file} is not a private key of cosign`);
  const key = derive(passphrase, bytes(sealed.kdf.salt), sealed.kdf.params);
  const plain = openSecretbox(bytes(sealed.ciphertext), nonce, key);
  if (plain === null) throw new AtomicError('permission', `the passphrase is not that of ${file}`);
  return createPrivateKey({ key: plain, format: 'der', type: 'pkcs8' });
}

/** A new ECDSA key (P-256), which every tool takes: the private half encrypted, the public one, both PEM. */
export function makeCosignKey(passphrase: Buffer): { privateKey: string; publicKey: string } {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  // What all versions of cosign and podman read; newer ones write N = 65536.
  const params = { N: 32768, r: 8, p: 1 };
  const [salt, nonce] = [randomBytes(32), randomBytes(SECRETBOX.nonce)];
  const plain = pair.privateKey.export({ type: 'pkcs8', format: 'der' });
  const ciphertext = sealSecretbox(plain, nonce, derive(passphrase, salt, params));
  if (ciphertext === null) throw needSodium();
  const text = (part: Buffer): string => part.toString('base64');
  const sealed = {
    kdf: { name: 'scrypt', params, salt: text(salt) },
    cipher: { name: 'nacl/secretbox', nonce: text(nonce) },
    ciphertext: text(ciphertext),
  };
  const lines = text(Buffer.from(JSON.stringify(sealed))).replace(/(.{64})(?!$)/g, '$1\n');
  return {
    privateKey: `-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----\n${lines}\n-----END ENCRYPTED COSIGN PRIVATE KEY-----\n`,
    publicKey: pair.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  };
}
