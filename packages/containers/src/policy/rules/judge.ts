import { AtomicError } from '@atomic/ostree';
import { repositoryName } from '../full-name.ts';
import { identityText } from './applicable.ts';
import type { ImageInQuestion, RequirementVerdict, RuleContext, SignatureVerdict } from './decide.ts';
import { judgeSignedBy } from './judge-signed-by.ts';
import { judgeSigstore } from './judge-sigstore.ts';
import type { Requirement } from './policy-schema.ts';

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
