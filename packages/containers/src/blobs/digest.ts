import { AtomicError } from '@atomic/ostree';

/** How long a digest's hexadecimal part is; no other algorithm is registered in the image specification. */
const LENGTHS = { sha256: 64, sha512: 128 } as const;
export type DigestAlgorithm = keyof typeof LENGTHS;

export interface Digest {
  algorithm: DigestAlgorithm;
  hex: string;
}

/** The parts of `ALGORITHM:HEX` (image-spec descriptor.md); undefined when it is no digest, or of an algorithm we lack. */
export function splitDigest(text: string): Digest | undefined {
  const [, algorithm, hex = ''] = /^(sha256|sha512):([0-9a-f]+)$/.exec(text) ?? [];
  if (algorithm !== 'sha256' && algorithm !== 'sha512') return undefined;
  return hex.length === LENGTHS[algorithm] ? { algorithm, hex } : undefined;
}

/** As {@link splitDigest}; throws `invalid`. */
export function parseDigest(text: string): Digest {
  const digest = splitDigest(text);
  if (digest === undefined)
    throw new AtomicError('invalid', `'${text.slice(0, 200)}' is not a digest`, {
      hint: 'sha256: and 64, or sha512: and 128 hexadecimal digits',
    });
  return digest;
}
