import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';
import type { SigstoreSignature } from './sigstore.ts';

/** All signatures of an image, by kind; none of them is trusted yet. */
export interface ImageSignatures {
  /** OpenPGP signed messages (simple signing). */
  simple: Buffer[];
  sigstore: SigstoreSignature[];
}

const stored = z.object({
  mimeType: z.string(),
  payload: z.base64(),
  annotations: z.record(z.string(), z.string()),
});

// First bytes of OpenPGP messages: compressed data, one-pass signature, signature; in old and new packet headers.
const OPENPGP = new Set([0xa0, 0xa1, 0xa2, 0xa3, 0xc8, 0x90, 0x91, 0x92, 0xc4, 0x88, 0x89, 0x8a, 0x8b, 0xc2]);

/**
 * Reads a signature as it is stored in a file: simple signing as it is, anything else after a zero byte and a line
 * with its kind, as containers/image has it. Throws `invalid` for what is neither.
 */
export function readSignatureBlob(blob: Buffer): ImageSignatures {
  const first = blob[0];
  if (first !== undefined && OPENPGP.has(first)) return { simple: [blob], sigstore: [] };
  const line = blob.indexOf(0x0a);
  const kind = first === 0 && line > 0 ? blob.subarray(1, line).toString('latin1') : undefined;
  const rest = blob.subarray(line + 1);
  if (kind === 'simple-signing') return { simple: [rest], sigstore: [] };
  if (kind === 'sigstore-json') {
    const { mimeType, payload, annotations } = stored.parse(JSON.parse(rest.toString('utf8')));
    return { simple: [], sigstore: [{ mediaType: mimeType, payload: Buffer.from(payload, 'base64'), annotations }] };
  }
  throw new AtomicError('invalid', 'it is no signature of a known kind');
}

export const noSignatures = (): ImageSignatures => ({ simple: [], sigstore: [] });
