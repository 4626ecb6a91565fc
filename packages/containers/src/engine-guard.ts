import { existsSync } from 'node:fs';
import { formatImageName, parseImageName } from '@atomic/oci';
import { byDigest } from './images/names.ts';
import { loadRegistries } from './policy/registries/load-registries.ts';
import { blockedError, resolveImage } from './policy/registries/resolve-image.ts';
import { applicable } from './policy/rules/applicable.ts';
import { loadPolicy } from './policy/rules/load-policy.ts';
import { type JudgeRequest, judgePull } from './pull.ts';

/**
 * What docker, which knows neither policy.json nor registries.conf, is to fetch for a name: the digest that was decided
 * on; undefined where policy accepts anything, and the name itself will do. Throws the outcome `policy` for what is
 * refused or blocked. Without a policy.json docker is left to itself.
 */
export async function guardPull(image: string, request: JudgeRequest): Promise<string | undefined> {
  const { paths } = request;
  const name = parseImageName(image);
  const config = loadRegistries(paths);
  const isKnown = name.registry !== undefined || config.search.length > 0 || config.aliases.has(name.repository);
  // A short name that nothing is said about is one of the hub's, as docker reads it.
  const meant = isKnown ? name : parseImageName(`docker.io/${image}`);
  const { candidates } = resolveImage(meant, config);
  const open = candidates.filter(({ blocked }) => blocked === undefined);
  const [first] = candidates;
  if (open.length === 0 && first !== undefined) throw blockedError(first);
  if (!existsSync(paths.policy)) return undefined;
  const { policy } = loadPolicy(paths.policy);
  const isOpen = open.every(({ name: full }) =>
    applicable(policy, { transport: 'docker', name: full }).requirements.every(
      ({ type }) => type === 'insecureAcceptAnything',
    ),
  );
  if (isOpen) return undefined;
  const { name: whole, digest } = await judgePull(formatImageName(meant), request);
  return byDigest(whole, digest);
}
