import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto';
import { canonicalJson } from '@atomic/oci';
import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';
import { parseStrictJson } from '../rules/strict-json.ts';
import { BUNDLE_ANNOTATION, SIGNATURE_ANNOTATION, type SigstoreKey, type SigstoreSignature } from './sigstore.ts';

// What a transparency log promises about an entry (Rekor's "signed entry timestamp"), as cosign keeps it beside a
// signature. Its members are all there is, so that sorted keys make its canonical form (RFC 8785).

const bundle = z.strictObject({
  SignedEntryTimestamp: z.base64().min(1),
  Payload: z.strictObject({
    body: z.base64().min(1),
    integratedTime: z.int(),
    logIndex: z.int(),
    logID: z.string().regex(/^[0-9a-f]+$/),
  }),
});

const entry = z.object({
  kind: z.literal('hashedrekord'),
  apiVersion: z.literal('0.0.1'),
  spec: z.object({
    data: z.object({ hash: z.object({ algorithm: z.literal('sha256'), value: z.string().regex(/^[0-9a-f]{64}$/) }) }),
    signature: z.object({ content: z.base64(), publicKey: z.object({ content: z.base64() }) }),
  }),
});

/** Why the log does not vouch for a signature; undefined when it does. */
export type LogVerdict = { time: number; problem?: undefined } | { problem: string };

function parse<T>(schema: z.ZodType<T>, text: string, what: string): T | string {
  try {
    const result = schema.safeParse(parseStrictJson(text, what));
    if (result.success) return result.data;
    const [issue] = result.error.issues;
    return `${what} is malformed: ${issue?.path.join('.')}: ${issue?.message}`;
  } catch (error) {
    if (error instanceof AtomicError) return error.message;
    throw error;
  }
}

/**
 * Checks offline that a log, by one of its keys, promised an entry of this very signature, by `signer`, over this very
 * payload. Nobody is asked: that the log keeps its promise is for its monitors to see.
 */
export function checkLogEntry(
  { payload, annotations }: SigstoreSignature,
  signer: SigstoreKey,
  logKeys: readonly KeyObject[],
): LogVerdict {
  const text = annotations[BUNDLE_ANNOTATION];
  if (text === undefined) return { problem: `the signature has no entry of a Rekor log (${BUNDLE_ANNOTATION})` };
  const promise = parse(bundle, text, "the log's promise");
  if (typeof promise === 'string') return { problem: promise };
  const signed = canonicalJson(promise.Payload);
  const timestamp = Buffer.from(promise.SignedEntryTimestamp, 'base64');
  if (!logKeys.some((key) => isSigned(signed, key, timestamp))) {
    return { problem: "the log's promise is not signed by a Rekor key of the rule" };
  }
  const found = parse(entry, Buffer.from(promise.Payload.body, 'base64').toString('utf8'), 'the entry of the log');
  if (typeof found === 'string') return { problem: found };
  const { data, signature } = found.spec;
  const keyed = publicKeyOf(Buffer.from(signature.publicKey.content, 'base64'));
  if (keyed === undefined || !keyed.equals(signer.key)) return { problem: 'the entry of the log is of another key' };
  if (signature.content !== annotations[SIGNATURE_ANNOTATION]) {
    return { problem: 'the entry of the log is of another signature' };
  }
  if (data.hash.value !== createHash('sha256').update(payload).digest('hex')) {
    return { problem: 'the entry of the log is of another payload' };
  }
  return { time: promise.Payload.integratedTime };
}

function isSigned(data: Buffer, key: KeyObject, signature: Buffer): boolean {
  try {
    return verify('sha256', data, key, signature);
  } catch {
    return false;
  }
}

function publicKeyOf(pem: Buffer): KeyObject | undefined {
  try {
    return createPublicKey(pem);
  } catch {
    return undefined;
  }
}
