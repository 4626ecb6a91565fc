import { loadKoffi } from './koffi.ts';

interface Library {
  seal(sealed: Buffer, plain: Buffer, size: number, nonce: Buffer, key: Buffer): number;
  open(plain: Buffer, sealed: Buffer, size: number, nonce: Buffer, key: Buffer): number;
}

/** Bytes of the nonce, the key, and what sealing adds. */
export const SECRETBOX = { nonce: 24, key: 32, overhead: 16 } as const;

let loaded: Library | null | undefined;

function library(): Library | null {
  if (loaded !== undefined) return loaded;
  try {
    const lib = loadKoffi().load('libsodium.so.23');
    const signature = '(_Out_ void *to, void *from, uint64_t size, void *nonce, void *key)';
    const seal = lib.func(`int crypto_secretbox_easy${signature}`);
    const open = lib.func(`int crypto_secretbox_open_easy${signature}`);
    loaded = {
      seal: (...args) => Number(seal(...args)),
      open: (...args) => Number(open(...args)),
    };
  } catch {
    loaded = null;
  }
  return loaded;
}

function checkLengths(nonce: Buffer, key: Buffer): void {
  if (nonce.length !== SECRETBOX.nonce || key.length !== SECRETBOX.key)
    throw new RangeError('nonce or key of another length');
}

/** Whether the system's libsodium is there; without it the functions below return null. */
export const haveSodium = (): boolean => library() !== null;

/** Encrypts and authenticates with a key (NaCl's secretbox). */
export function sealSecretbox(plain: Buffer, nonce: Buffer, key: Buffer): Buffer | null {
  checkLengths(nonce, key);
  const sealed = Buffer.alloc(plain.length + SECRETBOX.overhead);
  return library()?.seal(sealed, plain, plain.length, nonce, key) === 0 ? sealed : null;
}

/** Opens what {@link sealSecretbox} made; null when the key is another or something was changed. */
export function openSecretbox(sealed: Buffer, nonce: Buffer, key: Buffer): Buffer | null {
  checkLengths(nonce, key);
  if (sealed.length < SECRETBOX.overhead) return null;
  const plain = Buffer.alloc(sealed.length - SECRETBOX.overhead);
  return library()?.open(plain, sealed, sealed.length, nonce, key) === 0 ? plain : null;
}
