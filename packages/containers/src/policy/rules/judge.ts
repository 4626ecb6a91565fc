import { createHash, timingSafeEqual } from 'node:crypto';
import { AtomicError } from '@atomic/ostree';
import { type FullName, parseFullName, pullName, repositoryName } from '../full-name.ts';
import type { SignedClaim } from '../signatures/payload.ts';
import { identityText } from './applicable.ts';
import type { ImageInQuestion, RequirementVerdict, SignatureVerdict } from './decide.ts';
import { judgeSignedBy } from './judge-signed-by.ts';
import { judgeSigstore } from './judge-sigstore.ts';
import { matchesIdentity } from './match-identity.ts';
import type { Requirement, SignedIdentity } from './policy-schema.ts';

/** Where a rule stands, and what stops its checking. */
export interface RuleContext {
  file: string;
  scope: string | undefined;
  signal?: AbortSignal | undefined;
}

/** Judges an image by one requirement. Only cancelling throws; whatever else goes wrong refuses it, with the reason. */
export async function judge(
  requirement: Requirement,
  image: ImageInQuestion,
  context: RuleContext,
): Promise<RequirementVerdict> {
  const refused = (why: string, fix?: string): RequirementVerdict => ({
    requirement,
    accepted: false,
    why,
    fix,
    signatures: [],
  });
  switch (requirement.type) {
    case 'insecureAcceptAnything':
      return { requirement, accepted: true, why: 'anything is accepted, signed or not', signatures: [] };
    case 'reject':
      return refused('nothing is accepted there', acceptingFix(image));
    case 'signedBaseLayer':
      return refused('signedBaseLayer cannot be checked: no tool implements it', 'use signedBy instead');
    case 'signedBy':
    case 'sigstoreSigned':
      try {
        const signatures =
          requirement.type === 'signedBy'
            ? await judgeSignedBy(requirement, image, context)
            : await judgeSigstore(requirement, image, context);
        return summary(requirement, image, signatures);
      } catch (error) {
        context.signal?.throwIfAborted();
        if (!(error instanceof AtomicError)) throw error;
        return refused(error.message, error.hint);
      }
  }
}

/** The commands that would let an image in. */
function acceptingFix({ transport, name, path }: ImageInQuestion): string {
  const accept = '--type insecureAcceptAnything';
  // Only registries have signatures beside their images, so for all others there is no rule that checks any.
  if (transport !== 'docker' || name === undefined) {
    return `to take what comes that way unsigned: atomic trust add --transport ${transport} '${path ?? ''}' ${accept}`;
  }
  const scope = repositoryName(name);
  return `if you have its publisher's key: atomic trust add ${scope} --pubkeys FILE; to take it unsigned: atomic trust add ${scope} ${accept}`;
}

/** One good signature is enough. */
function summary(requirement: Requirement, image: ImageInQuestion, signatures: SignatureVerdict[]): RequirementVerdict {
  const good = signatures.find(({ accepted }) => accepted);
  if (good !== undefined) return { requirement, accepted: true, why: good.why, key: good.key, signatures };
  const [first] = signatures;
  if (first === undefined) {
    return { requirement, accepted: false, signatures, why: 'it has to be signed and is not', fix: signingFix(image) };
  }
  const why =
    signatures.length === 1
      ? first.why
      : `none of its ${signatures.length} signatures will do: ${signatures.map((one) => one.why).join('; ')}`;
  return { requirement, accepted: false, why, key: first.key, fix: first.fix, signatures };
}

const signingFix = (image: ImageInQuestion): string =>
  `signatures may be elsewhere: see lookaside and use-sigstore-attachments in registries.d (atomic trust explain ${identityText(image)}); its publisher signs it by: atomic sign --sign-by KEY ${identityText(image)}`;

/** Whether what was signed is about this image: why not, or undefined when it is. */
export function claimProblem(
  claim: SignedClaim,
  identity: SignedIdentity,
  image: ImageInQuestion,
): Omit<SignatureVerdict, 'accepted'> | undefined {
  if (!sameDigest(claim.digest, image.manifest)) {
    return {
      why: `the signature is for another manifest, ${claim.digest}`,
      fix: 'its publisher must sign this one; or the tag was moved, or the image replaced: pull it by the signed digest',
    };
  }
  const intended = image.name === undefined ? undefined : pullName(image.name);
  if (matchesIdentity(identity, intended, claim.reference)) return undefined;
  return {
    why: `the signature is for ${claim.reference}, which ${identity.type} does not take for ${identityText(image)}`,
    fix: identityFix(claim.reference, intended),
  };
}

/** How to take a signature that names another image, in the words of the rule that would. */
function identityFix(signed: string, intended: FullName | undefined): string {
  let repository: string;
  try {
    repository = repositoryName(parseFullName(signed));
  } catch {
    return 'its publisher must sign it under its name';
  }
  const same = intended !== undefined && repository === repositoryName(intended);
  const identity = same ? 'matchRepository' : `exactRepository=${repository}`;
  const pull = intended === undefined ? '' : `pull it as ${signed}; or, `;
  return `${pull}where that name is as good, set the rule anew with --identity ${identity} (atomic trust add --force)`;
}

function sameDigest(digest: string, manifest: Uint8Array): boolean {
  const [algorithm = '', hex = ''] = digest.split(':');
  if (!['sha256', 'sha384', 'sha512'].includes(algorithm)) return false;
  const actual = createHash(algorithm).update(manifest).digest();
  const claimed = Buffer.from(hex, 'hex');
  return actual.length === claimed.length && timingSafeEqual(actual, claimed);
}
