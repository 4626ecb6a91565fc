import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
import { canonicalJson } from '@atomic/oci';
import { checkLogEntry } from './rekor.ts';
import { signSigstore } from './sign-sigstore.ts';
import { BUNDLE_ANNOTATION, parseSigstoreKey, SIGNATURE_ANNOTATION, type SigstoreSignature } from './sigstore.ts';

const pair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const [signer, stranger, log, otherLog] = [pair(), pair(), pair(), pair()];
const pem = ({ publicKey }: ReturnType<typeof pair>): Buffer =>
  Buffer.from(publicKey.export({ type: 'spki', format: 'pem' }));
const base64 = (value: unknown): string => canonicalJson(value).toString('base64');
const made = signSigstore({ digest: `sha256:${'ab'.repeat(32)}`, reference: 'a.b/c:1' }, signer.privateKey);

/** An entry as Rekor makes it. */
const entryOf = (signature: SigstoreSignature, key = signer) => ({
  apiVersion: '0.0.1',
  kind: 'hashedrekord',
  spec: {
    data: { hash: { algorithm: 'sha256', value: createHash('sha256').update(signature.payload).digest('hex') } },
    signature: {
      content: signature.annotations[SIGNATURE_ANNOTATION],
      publicKey: { content: pem(key).toString('base64') },
    },
  },
});

/** The signature with the promise of a log about an entry. */
function logged(entry: unknown, by = log, edit = (text: string) => text): SigstoreSignature {
  const Payload = { body: base64(entry), integratedTime: 1_700_000_000, logIndex: 7, logID: 'c0d2' };
  const SignedEntryTimestamp = sign('sha256', canonicalJson(Payload), by.privateKey).toString('base64');
  const text = edit(JSON.stringify({ SignedEntryTimestamp, Payload }));
  return { ...made, annotations: { ...made.annotations, [BUNDLE_ANNOTATION]: text } };
}

const check = (signature: SigstoreSignature, by = signer) =>
  checkLogEntry(signature, parseSigstoreKey(pem(by), 'key'), [otherLog.publicKey, log.publicKey]);

test('an entry of this key, this signature and this payload in a log of the rule is taken', () => {
  assert.deepEqual(check(logged(entryOf(made))), { time: 1_700_000_000 });
});

test('everything else is refused, by what is wrong', () => {
  const other = signSigstore({ digest: `sha256:${'cd'.repeat(32)}`, reference: 'a.b/c:1' }, signer.privateKey);
  const table: [SigstoreSignature, RegExp][] = [
    [made, /no entry of a Rekor log/],
    [logged(entryOf(made), pair()), /not signed by a Rekor key/],
    [logged(entryOf(made), log, (text) => text.replace('"logIndex":7', '"logIndex":8')), /not signed by a Rekor key/],
    [logged(entryOf(made), log, (text) => text.replace('{', '{"more":1,')), /promise is malformed/],
    [
      logged(entryOf(made), log, (text) => text.replace('"logIndex":7', '"logIndex":7,"logIndex":7')),
      /'logIndex' twice/,
    ],
    [logged(entryOf(made), log, () => 'null'), /promise is malformed/],
    [logged(entryOf(made), log, () => '{'), /not JSON/],
    [logged({ ...entryOf(made), kind: 'intoto' }), /entry of the log is malformed: kind/],
    [logged({ ...entryOf(made), apiVersion: '0.0.2' }), /entry of the log is malformed: apiVersion/],
    [logged(entryOf(made, stranger)), /of another key/],
    [
      logged({ ...entryOf(made), spec: { ...entryOf(made).spec, data: entryOf(other).spec.data } }),
      /of another payload/,
    ],
    [
      logged({ ...entryOf(made), spec: { ...entryOf(made).spec, signature: entryOf(other).spec.signature } }),
      /another signature/,
    ],
  ];
  for (const [signature, why] of table) assert.match(check(signature).problem ?? 'taken', why);
  assert.match(check(logged(entryOf(made)), stranger).problem ?? 'taken', /of another key/);
});
