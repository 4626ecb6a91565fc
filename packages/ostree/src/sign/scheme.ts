/** One way of signing with plain keys: what keys and signatures are, and how they are made and checked. */
export interface KeyScheme {
  readonly type: string;
  /** Key of its signatures (`aay`) in detached metadata and in `summary.sig`. */
  readonly metadataKey: string;
  /** Checks the form of a public key; throws `invalid`. `what` begins the message. */
  checkPublicKey(key: Buffer, what: string): void;
  /** Checks the form of a signature; throws `corrupt`. */
  checkSignature(signature: Buffer): void;
  /** Checks the form of a secret key; throws `invalid`. */
  checkSecretKey(key: Buffer): void;
  sign(data: Uint8Array, secretKey: Buffer): Buffer;
  verify(data: Uint8Array, publicKey: Buffer, signature: Buffer): boolean;
  /** Takes a file of keys apart; throws `invalid`. */
  readKeys(text: string, kind: 'public' | 'secret'): Buffer[];
}
