import { parseImageName } from '@atomic/oci';
import { type FullName, fullName, pullName } from './full-name.ts';
import { loadRegistries } from './registries/load-registries.ts';
import { resolveImage } from './registries/resolve-image.ts';
import { judgeRegistryImage, openCandidate, type RegistryAccess } from './registry-image.ts';
import { applicable } from './rules/applicable.ts';
import { loadPolicy } from './rules/load-policy.ts';
import type { TrustPaths } from './trust-paths.ts';

export interface StoredVerdict {
  /** The name that policy was asked about. */
  name: FullName;
  accepted: boolean;
  why: string;
  fix: string | undefined;
}

/**
 * Asks the policy, as it is now, about an image that is here already: under each of its names that has a digest, with
 * the signatures there are now. Where the rule asks for none, the network is left alone. Throws `network`.
 */
export async function judgeStored(
  { names, digests }: { names: readonly string[]; digests: readonly string[] },
  { paths, access, signal }: { paths: TrustPaths; access: RegistryAccess; signal?: AbortSignal | undefined },
): Promise<StoredVerdict[]> {
  const policy = loadPolicy(paths.policy);
  const config = loadRegistries(paths);
  const verdicts: StoredVerdict[] = [];
  for (const text of names) {
    const name = pullName(fullName(parseImageName(text)));
    const pinned = digests
      .map((one) => fullName(parseImageName(one)))
      .find(({ registry, repository }) => registry === name.registry && repository === name.repository);
    const { requirements } = applicable(policy.policy, { transport: 'docker', name });
    if (pinned === undefined) {
      verdicts.push({ name, accepted: false, why: 'it did not come from a registry', fix: undefined });
    } else if (requirements.every(({ type }) => type === 'insecureAcceptAnything')) {
      verdicts.push({ name, accepted: true, why: 'anything is accepted, signed or not', fix: undefined });
    } else {
      const [candidate] = resolveImage({ ...pinned, tag: undefined }, config).candidates;
      if (candidate === undefined) continue;
      await using source = openCandidate(candidate, access);
      const { accepted, why, fix } = await judgeRegistryImage({ name, source, paths, signal });
      verdicts.push({ name, accepted, why, fix });
    }
  }
  return verdicts;
}
