import { formatImageName } from '@atomic/oci';
import { type FullName, isNameOnly, parseFullName, repositoryName } from '../full-name.ts';
import type { SignedIdentity } from './policy-schema.ts';

/**
 * Whether a signature about `signed` (the reference in it, not trusted to be one) is one about the image `intended`, by
 * a rule of policy.json. `intended` is undefined for images without a name: then only the `exact…` rules can match.
 */
export function matchesIdentity(rule: SignedIdentity, intended: FullName | undefined, signed: string): boolean {
  let name: FullName;
  try {
    name = parseFullName(signed);
  } catch {
    return false;
  }
  switch (rule.type) {
    case 'matchExact':
      return intended !== undefined && sameReference(intended, name);
    case 'matchRepoDigestOrExact':
      return intended !== undefined && sameOrDigest(intended, name);
    case 'matchRepository':
      return intended !== undefined && repositoryName(intended) === repositoryName(name);
    case 'exactReference':
      return sameReference(parseFullName(rule.dockerReference), name);
    case 'exactRepository':
      return repositoryName(parseFullName(rule.dockerRepository)) === repositoryName(name);
    case 'remapIdentity': {
      const moved = intended === undefined ? undefined : remap(intended, rule.prefix, rule.signedPrefix);
      return moved !== undefined && sameOrDigest(moved, name);
    }
  }
}

const sameReference = (a: FullName, b: FullName): boolean =>
  !isNameOnly(a) && !isNameOnly(b) && formatImageName(a) === formatImageName(b);

/** By tag, the signature must be about that tag; by digest, about any of the repository: the digest is checked itself. */
function sameOrDigest(intended: FullName, signed: FullName): boolean {
  if (isNameOnly(intended) || isNameOnly(signed)) return false;
  if (intended.tag !== undefined) return sameReference(intended, signed);
  return repositoryName(intended) === repositoryName(signed);
}

function remap(name: FullName, prefix: string, signedPrefix: string): FullName | undefined {
  const repository = repositoryName(name);
  if (repository !== prefix && !repository.startsWith(`${prefix}/`)) return name;
  const moved = `${signedPrefix}${formatImageName(name).slice(prefix.length)}`;
  try {
    const result = parseFullName(moved);
    return formatImageName(result) === moved ? result : undefined;
  } catch {
    return undefined;
  }
}
