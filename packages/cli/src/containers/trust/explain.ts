import type { Explanation } from '@atomic/containers';
import type { Command } from 'commander';
import { containerAction } from '../common.ts';
import { type RegistryAccessOptions, registryAccess, withRegistryAccess } from '../registry-access.ts';
import { addTrustVerb, pathsOf, type TrustPathOptions } from './common.ts';

/** Adds `atomic trust explain`. */
export function register(trust: Command): void {
  const verb = addTrustVerb(
    trust,
    'explain',
    'whether an image is let in: which rule, scope and key, why, what would help',
    [
      'atomic trust explain registry.example/app:1',
      'atomic trust explain app                              how a short name is understood, too',
      'atomic trust explain --policy new.json registry.example/app:1   before a policy is put in place',
      'atomic trust explain --offline registry.example/app:1           only what the files say',
      'atomic trust explain oci:folder:tag',
    ],
  );
  withRegistryAccess(verb)
    .argument('<image>', 'a name, or transport and place (oci:, oci-archive:, docker-archive:, dir: …)')
    .option('--offline', 'do not ask the registry')
    .addHelpText('after', '\nStatus 0: accepted; 3: refused; 1: not known, because the image could not be looked at.')
    .action(
      containerAction(
        async (ctx, image: string, options: TrustPathOptions & RegistryAccessOptions & { offline?: boolean }) => {
          const { explainTrust } = await import('@atomic/containers');
          const access = await registryAccess(options);
          const paths = await pathsOf(options);
          const found = await explainTrust(image, { paths, access, offline: options.offline, signal: ctx.signal });
          if (ctx.json) ctx.printJson(found);
          else for (const line of explanationLines(found)) ctx.print(line);
          return { accepted: 0, refused: 3, unknown: 1 }[found.verdict];
        },
      ),
    );
}

const row = (name: string, text: string): string => `  ${name.padEnd(11)} ${text}`;

/** An explanation for people: the verdict first, then what it rests on, then what would help. */
export function explanationLines(found: Explanation): string[] {
  const { resolution, registry, policy, places, decision } = found;
  const lines = [`${found.image}: ${found.verdict === 'unknown' ? 'not known' : found.verdict}`];
  if (resolution !== undefined && resolution.by !== 'name') {
    const how = resolution.by === 'alias' ? 'an alias' : 'a search registry';
    lines.push(row('name', `by ${how}${resolution.file === undefined ? '' : ` in ${resolution.file}`}`));
    for (const other of resolution.others) lines.push(row('', `or ${other}`));
  }
  if (registry !== undefined) {
    lines.push(row('registry', `${registry.prefix} in ${registry.file}${registry.blocked ? ': blocked' : ''}`));
    for (const place of registry.places) lines.push(row('', `from ${place}`));
  }
  const scope =
    policy.scope === undefined
      ? 'the default of everything'
      : policy.scope === ''
        ? `the default of ${policy.transport}:`
        : `${policy.transport} scope ${policy.scope}`;
  lines.push(row('policy', policy.file), row('scope', scope));
  if (policy.ignored.length > 0) {
    lines.push(
      row('', `(not looked at, being wider: ${policy.ignored.map((one) => one || `${policy.transport}:`).join(', ')})`),
    );
  }
  for (const requirement of policy.requirements) {
    const identity = 'signedIdentity' in requirement ? `, ${requirement.signedIdentity.type}` : '';
    lines.push(row('rule', `${requirement.type}${identity}`));
  }
  for (const { key, file, problem } of found.keys) {
    lines.push(
      row('key', `${key === undefined ? file : `${key} in ${file}`}${problem === undefined ? '' : `: ${problem}`}`),
    );
  }
  if (
    places !== undefined &&
    policy.requirements.some(({ type }) => type === 'signedBy' || type === 'sigstoreSigned')
  ) {
    lines.push(row('signatures', `${places.read}${places.file === undefined ? '' : ` (${places.file})`}`));
    if (places.attachments) lines.push(row('', 'and beside the image in its registry'));
  }
  const signatures = decision?.verdicts.flatMap((verdict) => verdict.signatures) ?? [];
  for (const { accepted, why } of signatures) {
    // The only one is told as the reason.
    if (why !== found.why) lines.push(row(accepted ? 'accepted' : 'not good', why));
  }
  lines.push(row('why', found.why));
  if (found.fix !== undefined) lines.push(row('fix', found.fix));
  return lines;
}
