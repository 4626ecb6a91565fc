import { AtomicError } from '../error.ts';
import type { SignEngine } from './engine.ts';

/** Signatures that are their own key (libostree's ostree-sign-dummy.c). For tests, and only when asked for. */
export class DummyEngine implements SignEngine {
  readonly type = 'dummy';
  readonly metadataKey = 'ostree.sign.dummy';
  readonly #enabled: boolean;
  #secret = '';
  #public: string | null = null;

  constructor(enabled: boolean) {
    this.#enabled = enabled;
  }

  #check(): void {
    if (!this.#enabled) throw new AtomicError('unsupported', 'dummy signature type is only for ostree testing');
  }

  setSecretKey(key: string | Buffer): void {
    this.#check();
    this.#secret = key.toString();
  }

  sign(): Buffer {
    this.#check();
    return Buffer.from(this.#secret);
  }

  addPublicKey(key: string | Buffer): void {
    this.#public = key.toString();
  }

  loadPublicKeys(): never {
    throw new AtomicError('unsupported', 'not implemented');
  }

  verify(_data: Uint8Array, signatures: readonly Buffer[] | null): string {
    this.#check();
    if (signatures === null) {
      throw new AtomicError('invalid', 'signature: dummy: commit have no signatures of my type');
    }
    if (signatures.some((signature) => signature.toString() === this.#public)) return 'dummy: Signature verified';
    throw new AtomicError(
      'invalid',
      signatures.length === 0
        ? 'signature: dummy: no signatures'
        : `signature: dummy: incorrect signatures found: ${signatures.length}`,
    );
  }
}
