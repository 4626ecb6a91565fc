import { canonicalJson } from '@atomic/oci';
import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';
import { parseStrictJson } from '../rules/strict-json.ts';

/** What a signature says, of whichever kind it is: this manifest is that image. */
export interface SignedClaim {
  /** Digest of the manifest. */
  digest: string;
  /** Name of the image, as its signer wrote it. */
  reference: string;
  creator?: string | undefined;
  /** Unix seconds, as the signer's clock had it. */
  made?: number | undefined;
}

/** The two kinds: simple signing (containers-signature(5)) and cosign's, which took over its format. */
export const CLAIM_TYPES = {
  simple: 'atomic container signature',
  sigstore: 'cosign container image signature',
} as const;
export type ClaimKind = keyof typeof CLAIM_TYPES;

/** What is unknown in `critical` could change what the signature means, so it must not be there. */
const schema = (kind: ClaimKind) =>
  z.strictObject({
    critical: z.strictObject({
      type: z.literal(CLAIM_TYPES[kind]),
      image: z.strictObject({
        'docker-manifest-digest': z.string().regex(/^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-f]{32,}$/),
      }),
      identity: z.strictObject({ 'docker-reference': z.string() }),
    }),
    optional: z
      .looseObject({ creator: z.string().optional(), timestamp: z.number().int().optional() })
      .nullable()
      // cosign writes null for nothing; nobody else may.
      .refine((value) => value !== null || kind === 'sigstore', 'must be an object'),
  });

/** Reads what was signed; only to be called with bytes whose signature is good. Throws `invalid`. */
export function parseClaim(bytes: Uint8Array, kind: ClaimKind): SignedClaim {
  const text = Buffer.from(bytes).toString('utf8');
  const result = schema(kind).safeParse(parseStrictJson(text, 'what was signed'));
  if (!result.success) {
    const [issue] = result.error.issues;
    throw new AtomicError(
      'invalid',
      `what was signed is no claim about an image: ${issue?.path.join('.')}: ${issue?.message}`,
    );
  }
  const { critical, optional } = result.data;
  return {
    digest: critical.image['docker-manifest-digest'],
    reference: critical.identity['docker-reference'],
    creator: optional?.creator,
    made: optional?.timestamp,
  };
}

/** The bytes to sign for a claim. */
export function formatClaim({ digest, reference, creator, made }: SignedClaim, kind: ClaimKind): Buffer {
  return canonicalJson({
    critical: {
      type: CLAIM_TYPES[kind],
      image: { 'docker-manifest-digest': digest },
      identity: { 'docker-reference': reference },
    },
    optional: { ...(creator === undefined ? {} : { creator }), ...(made === undefined ? {} : { timestamp: made }) },
  });
}
