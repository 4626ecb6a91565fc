import { AtomicError } from '@atomic/ostree';
import { parseClaim } from '../signatures/payload.ts';
import { checkLogEntry } from '../signatures/rekor.ts';
import {
  CERTIFICATE_ANNOTATION,
  parseSigstoreKey,
  SIGNATURE_ANNOTATION,
  SIGSTORE_MEDIA,
  type SigstoreKey,
  type SigstoreSignature,
  whoSigned,
} from '../signatures/sigstore.ts';
import { type KeySource, keySourceName, readKeySource } from '../signatures/simple-signing.ts';
import { claimProblem } from './claim-problem.ts';
import type { ImageInQuestion, RuleContext, SignatureVerdict } from './decide.ts';
import type { SigstoreRule } from './policy-schema.ts';

function sourcesOf(paths: (string | undefined)[], datas: (string | undefined)[], file: string): KeySource[] {
  return [
    ...paths.filter((path) => path !== undefined).map((path) => ({ path })),
    ...datas
      .filter((text) => text !== undefined)
      .map((text) => ({ data: Buffer.from(text, 'base64'), name: `keyData in ${file}` })),
  ];
}

const read = (sources: readonly KeySource[]): SigstoreKey[] =>
  sources.map((source) => parseSigstoreKey(readKeySource(source), keySourceName(source)));

/** The keys of a rule. Throws when one cannot be read: a spare key that is broken is found before it is needed. */
export const sigstoreKeys = (
  { keyPath, keyPaths = [], keyData, keyDatas = [] }: SigstoreRule,
  file: string,
): SigstoreKey[] => read(sourcesOf([keyPath, ...keyPaths], [keyData, ...keyDatas], file));

/** The keys of the log an entry must be in; none: no entry is asked for. */
function logKeys(rule: SigstoreRule, file: string): SigstoreKey[] {
  const paths = [rule.rekorPublicKeyPath, ...(rule.rekorPublicKeyPaths ?? [])];
  const keys = read(sourcesOf(paths, [rule.rekorPublicKeyData, ...(rule.rekorPublicKeyDatas ?? [])], file));
  const other = keys.find(({ key }) => key.asymmetricKeyType !== 'ec');
  if (other !== undefined) throw new AtomicError('invalid', `${other.name}: a Rekor log signs with ECDSA`);
  return keys;
}

/** What of a rule we cannot check; such a rule refuses. */
function unsupported(rule: SigstoreRule): AtomicError | undefined {
  const what =
    rule.fulcio !== undefined
      ? 'certificates of Fulcio'
      : rule.pki !== undefined
        ? 'signing certificates (pki)'
        : undefined;
  if (what === undefined) return undefined;
  return new AtomicError('unsupported', `the rule asks for ${what}, which are not checked here, so it refuses`, {
    hint: "pin the publisher's public key instead: atomic trust add --key-type sigstore --pubkeys KEY.pub SCOPE",
  });
}

/** Judges an image's sigstore signatures. Throws when the rule asks for what cannot be checked or its keys are not there. */
export async function judgeSigstore(
  rule: SigstoreRule,
  image: ImageInQuestion,
  { file }: RuleContext,
): Promise<SignatureVerdict[]> {
  const problem = unsupported(rule);
  if (problem !== undefined) throw problem;
  const keys = sigstoreKeys(rule, file);
  const logs = logKeys(rule, file);
  const { sigstore } = await image.signatures();
  // Attestations and the like lie beside signatures.
  return sigstore
    .filter(({ mediaType }) => mediaType === SIGSTORE_MEDIA)
    .map((signature) => judgeOne(signature, { keys, logs }, rule, image));
}

function judgeOne(
  signature: SigstoreSignature,
  { keys, logs }: { keys: readonly SigstoreKey[]; logs: readonly SigstoreKey[] },
  rule: SigstoreRule,
  image: ImageInQuestion,
): SignatureVerdict {
  const signer = whoSigned(signature, keys);
  if (signer === undefined) {
    const files = keys.map(({ name }) => name).join(', ');
    if (signature.annotations[SIGNATURE_ANNOTATION] === undefined) {
      return { accepted: false, why: `a signature has no ${SIGNATURE_ANNOTATION}` };
    }
    if (signature.annotations[CERTIFICATE_ANNOTATION] !== undefined) {
      return {
        accepted: false,
        why: 'it is signed with a certificate (keyless), not with a key of the rule',
        fix: 'certificates of Fulcio are not checked here; ask its publisher for a signature by a key',
      };
    }
    return {
      accepted: false,
      why: `it is not signed by the key in ${files}, or what was signed has been changed`,
      fix: `get the publisher's public key into ${files}, or ask for a signature by that key`,
    };
  }
  const key = `${signer.fingerprint} (${signer.name})`;
  const logged =
    logs.length === 0
      ? undefined
      : checkLogEntry(
          signature,
          signer,
          logs.map((one) => one.key),
        );
  if (logged?.problem !== undefined) {
    const fix = 'its publisher must sign it with an entry in that log (cosign sign --tlog-upload)';
    return { accepted: false, key, why: logged.problem, fix };
  }
  try {
    const problem = claimProblem(parseClaim(signature.payload, 'sigstore'), rule.signedIdentity, image);
    if (problem !== undefined) return { accepted: false, key, ...problem };
  } catch (error) {
    if (!(error instanceof AtomicError)) throw error;
    return { accepted: false, key, why: `a signature is malformed: ${error.message}` };
  }
  const when = logged === undefined ? '' : `, logged on ${new Date(logged.time * 1000).toISOString().slice(0, 10)}`;
  return { accepted: true, key, why: `signed by ${key}${when}` };
}
