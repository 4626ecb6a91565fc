import { AtomicError } from '../error.ts';
import { DummyEngine } from './dummy.ts';
import { ed25519 } from './ed25519.ts';
import { KeyEngine } from './key-engine.ts';
import { spki } from './spki.ts';
import type { TrustOptions } from './trust.ts';

/** Where to find public keys: one file, or a folder in place of /etc/ostree and /usr/share/ostree. */
export interface KeySource {
  file?: string | undefined;
  baseDir?: string | undefined;
}

/** Makes and checks signatures of one type with the keys it was given. */
export interface SignEngine {
  readonly type: string;
  readonly metadataKey: string;
  /** The key to sign with, as bytes or base64; throws `invalid`. */
  setSecretKey(key: string | Buffer): void;
  sign(data: Uint8Array): Buffer;
  /** One more trusted key, as bytes or base64; throws `invalid`. */
  addPublicKey(key: string | Buffer): void;
  /** Trusts the keys of a file, or those the system trusts but for the revoked ones; throws when there are none. */
  loadPublicKeys(source: KeySource): void;
  /** Says whose signature was good; throws `invalid` when none was. Without keys, the system's are loaded. */
  verify(data: Uint8Array, signatures: readonly Buffer[] | null): string;
}

export const SIGN_TYPES = ['ed25519', 'spki', 'dummy'] as const;
export type SignType = (typeof SIGN_TYPES)[number];
export const DEFAULT_SIGN_TYPE: SignType = 'ed25519';

/** A fresh engine for a type of signatures; throws `unsupported`. */
export function signEngine(type: string, trust: TrustOptions = {}): SignEngine {
  if (type === 'ed25519') return new KeyEngine(ed25519);
  if (type === 'spki') return new KeyEngine(spki);
  if (type === 'dummy') return new DummyEngine(trust.dummy === true);
  throw new AtomicError('unsupported', 'Requested signature type is not implemented', {
    hint: `types are ${SIGN_TYPES.join(', ')}`,
  });
}
