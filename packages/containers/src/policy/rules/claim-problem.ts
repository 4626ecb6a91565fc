import { createHash, timingSafeEqual } from 'node:crypto';
import { type FullName, parseFullName, pullName, repositoryName } from '../full-name.ts';
import { oneLine } from '../one-line.ts';
import type { SignedClaim } from '../signatures/payload.ts';
import { identityText } from './applicable.ts';
import type { ImageInQuestion, SignatureVerdict } from './decide.ts';
import { matchesIdentity } from './match-identity.ts';
import type { SignedIdentity } from './policy-schema.ts';

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
    why: `the signature is for ${oneLine(claim.reference)}, which ${identity.type} does not take for ${identityText(image)}`,
    fix: identityFix(oneLine(claim.reference), intended),
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
