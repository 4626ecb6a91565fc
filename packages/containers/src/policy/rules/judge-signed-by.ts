import { AtomicError, type GpgState } from '@atomic/ostree';
import { oneLine } from '../one-line.ts';
import { parseClaim } from '../signatures/payload.ts';
import { type KeySource, keySourceName, type OpenedMessage, withGpgKeys } from '../signatures/simple-signing.ts';
import { claimProblem } from './claim-problem.ts';
import type { ImageInQuestion, RuleContext, SignatureVerdict } from './decide.ts';
import type { SignedByRule } from './policy-schema.ts';

/** Where the keys of a rule are. */
export function gpgKeySources(rule: SignedByRule, file: string): KeySource[] {
  if (rule.keyData !== undefined) return [{ data: Buffer.from(rule.keyData, 'base64'), name: `keyData in ${file}` }];
  return [...(rule.keyPath === undefined ? [] : [rule.keyPath]), ...(rule.keyPaths ?? [])].map((path) => ({ path }));
}

/** Judges an image's simple signatures by a `signedBy` rule. Throws when the rule's own keys cannot be had. */
export async function judgeSignedBy(
  rule: SignedByRule,
  image: ImageInQuestion,
  { file, signal }: RuleContext,
): Promise<SignatureVerdict[]> {
  if (rule.keyType !== 'GPGKeys') {
    throw new AtomicError('unsupported', `keyType ${rule.keyType} cannot be checked: no tool implements it`, {
      hint: 'use GPGKeys',
    });
  }
  const { simple } = await image.signatures();
  const sources = gpgKeySources(rule, file);
  if (simple.length === 0) return [];
  return await withGpgKeys(
    sources,
    async (open) => {
      const verdicts: SignatureVerdict[] = [];
      for (const message of simple) {
        verdicts.push(await judgeOne(message, open, rule, image, sources));
        if (verdicts.at(-1)?.accepted === true) break;
      }
      return verdicts;
    },
    signal,
  );
}

async function judgeOne(
  message: Buffer,
  open: (message: Buffer) => Promise<OpenedMessage>,
  rule: SignedByRule,
  image: ImageInQuestion,
  sources: readonly KeySource[],
): Promise<SignatureVerdict> {
  try {
    const opened = await open(message);
    const key = keyText(opened);
    if (opened.content === undefined) return { accepted: false, key, ...stateProblem(opened, sources) };
    const problem = claimProblem(parseClaim(opened.content, 'simple'), rule.signedIdentity, image);
    if (problem !== undefined) return { accepted: false, key, ...problem };
    return { accepted: true, key, why: `signed by ${key}` };
  } catch (error) {
    if (!(error instanceof AtomicError) || error.code === 'unsupported') throw error;
    return { accepted: false, why: `a signature is malformed: ${error.message}`, fix: error.hint };
  }
}

const keyText = ({ primaryFingerprint, fingerprint, user }: OpenedMessage): string =>
  `${primaryFingerprint || fingerprint}${user === '' ? '' : ` (${oneLine(user)})`}`;

const day = (seconds: number): string =>
  seconds > 0 ? ` on ${new Date(seconds * 1000).toISOString().slice(0, 10)}` : '';

/** Why a signature is not good, and what would help. */
function stateProblem(opened: OpenedMessage, sources: readonly KeySource[]): { why: string; fix: string } {
  const key = keyText(opened);
  const files = sources.map(keySourceName).join(', ');
  const problems: Record<Exclude<GpgState, 'good'>, { why: string; fix: string }> = {
    'key-missing': {
      why: `it is signed by ${key}, whose key is not in ${files}`,
      fix: `if you trust that key: gpg --export ${opened.fingerprint} > FILE, and add FILE by atomic trust add --pubkeys`,
    },
    'key-expired': {
      why: `the key ${key} expired${day(opened.keyExpires)}`,
      fix: `get the renewed key from its owner and put it into ${files}`,
    },
    'key-revoked': {
      why: `the key ${key} was revoked by its owner`,
      fix: 'do not use the image until its publisher signs it with another key; add that one by atomic trust add --pubkeys',
    },
    expired: {
      why: `the signature by ${key} expired${day(opened.signatureExpires)}`,
      fix: 'its publisher must sign the image again, or pull a newer one',
    },
    bad: {
      why: `the signature by ${key} is bad: what was signed has been changed`,
      fix: 'the signature was damaged or forged; fetch it again, or ask its publisher',
    },
    unknown: {
      why: `the signature by ${key} cannot be checked`,
      fix: 'its kind may be too new, or too weak, for the gpg of this system',
    },
  };
  return opened.state === 'good' ? problems.bad : problems[opened.state];
}
