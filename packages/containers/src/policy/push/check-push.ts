import { formatImageName } from '@atomic/oci';
import { OutcomeError } from '../../outcome.ts';
import { dockerScopes, type FullName, repositoryName } from '../full-name.ts';
import type { PushAction, PushPolicy } from './push-policy.ts';

/** Registries where what is pushed is, as a rule, for everybody to read. */
const PUBLIC = ['docker.io', 'quay.io', 'ghcr.io', 'public.ecr.aws', 'registry.gitlab.com', 'codeberg.org', 'ttl.sh'];

/** An image that is to be pushed. */
export interface OutgoingImage {
  /** The names it has here: an image of a private registry is private. */
  names: readonly FullName[];
  labels: Readonly<Record<string, string>>;
}

export interface PushVerdict {
  action: PushAction;
  /** For the question, or the refusal. */
  why: string;
  /** The rule that says so; undefined for what is built in. */
  rule: { prefix: string; file: string } | undefined;
}

const STRICTNESS: Record<PushAction, number> = { allow: 0, ask: 1, deny: 2 };

/**
 * Whether an image may be pushed somewhere. A file's most specific rule counts, the stricter of two files; where none
 * speaks of the place, private images do not go to public ones, and others are asked about there.
 */
export function checkPush(target: FullName, image: OutgoingImage, policies: readonly PushPolicy[]): PushVerdict {
  const place = formatImageName({ ...target, tag: undefined, digest: undefined });
  const ruled = policies
    .map((policy) => ruleOf(target, policy))
    .filter((one) => one !== undefined)
    .sort((a, b) => STRICTNESS[b.action] - STRICTNESS[a.action]);
  const reason = privateReason(image, policies);
  const isPublic = matches(target, policies.find((one) => one.public !== undefined)?.public ?? PUBLIC);
  const [rule] = ruled;
  if (rule !== undefined) {
    const why = `${rule.file} says ${rule.action} for ${rule.prefix}${reason === undefined ? '' : `; ${reason}`}`;
    return { action: rule.action, why, rule: { prefix: rule.prefix, file: rule.file } };
  }
  const fallback = policies.map((one) => one.default).filter((one) => one !== undefined);
  const strictest = fallback.sort((a, b) => STRICTNESS[b] - STRICTNESS[a])[0];
  if (isPublic && reason !== undefined) {
    return { action: 'deny', why: `${place} is public, and ${reason}`, rule: undefined };
  }
  if (strictest !== undefined) return { action: strictest, why: `pushes are set to ${strictest}`, rule: undefined };
  const scope = image.labels['distribution-scope'];
  if (isPublic && scope !== 'public') {
    return { action: 'ask', why: `${place} is public: everybody may read what is pushed there`, rule: undefined };
  }
  if (scope === 'authoritative-source-only' && !image.names.some((name) => name.registry === target.registry)) {
    return {
      action: 'ask',
      why: `its label says that only its source hands it out, which is not ${place}`,
      rule: undefined,
    };
  }
  return { action: 'allow', why: `nothing speaks against a push to ${place}`, rule: undefined };
}

function ruleOf(target: FullName, { push = {}, file }: PushPolicy) {
  const prefix = dockerScopes(target).find((scope) => Object.hasOwn(push, scope));
  const action = prefix === undefined ? undefined : push[prefix];
  return prefix === undefined || action === undefined ? undefined : { prefix, action, file };
}

const matches = (name: FullName, prefixes: readonly string[]): boolean =>
  dockerScopes(name).some((scope) => prefixes.includes(scope));

/** Why an image is not for everybody. */
function privateReason({ names, labels }: OutgoingImage, policies: readonly PushPolicy[]): string | undefined {
  for (const { private: prefixes = [], file } of policies) {
    const name = names.find((one) => matches(one, prefixes));
    if (name !== undefined) return `images of ${repositoryName(name)} are private (${file})`;
  }
  const scope = labels['distribution-scope'];
  return scope === 'private' || scope === 'restricted' ? `the image says distribution-scope=${scope}` : undefined;
}

/**
 * Lets a push go on, asks, or throws: status 3 for what is denied, 2 when the person says no or there is nobody to
 * ask. `yes` answers what would be asked; what is denied stays denied.
 */
export async function requirePush(
  target: FullName,
  verdict: PushVerdict,
  options: { yes?: boolean | undefined; ask?: ((text: string) => Promise<boolean>) | undefined },
): Promise<void> {
  const place = formatImageName(target);
  if (verdict.action === 'allow' || (verdict.action === 'ask' && options.yes === true)) return;
  if (verdict.action === 'deny') {
    throw new OutcomeError('policy', `nothing was pushed: ${verdict.why}`, {
      hint: `where that is meant, allow it in ${verdict.rule?.file ?? '/etc/atomic/push-policy.yaml'}: push: {${repositoryName(target)}: allow}`,
    });
  }
  if (options.ask === undefined) {
    throw new OutcomeError('refused', `nothing was pushed: ${verdict.why}, and there is nobody to ask`, {
      hint: 'add --yes to push it nevertheless',
    });
  }
  if (!(await options.ask(`${verdict.why}. Push ${place}?`))) throw new OutcomeError('refused', 'nothing was pushed');
}
