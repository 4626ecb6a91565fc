import { createHash } from 'node:crypto';
import { OutcomeError } from '../../outcome.ts';
import type { ImageSignatures } from '../signatures/blob.ts';
import { applicable, type ImageIdentity, identityText } from './applicable.ts';
import type { LoadedPolicy } from './load-policy.ts';
import type { Requirement } from './policy-schema.ts';

/** An image to be decided on. */
export interface ImageInQuestion extends ImageIdentity {
  /** Bytes of its manifest: that of the platform, not of the list it was found in. */
  manifest: Uint8Array;
  /** Its signatures; only asked for when a rule needs them. */
  signatures(): Promise<ImageSignatures>;
}

/** Where a rule stands, and what stops its checking. */
export interface RuleContext {
  file: string;
  scope: string | undefined;
  signal?: AbortSignal | undefined;
}

/** What became of one signature. */
export interface SignatureVerdict {
  accepted: boolean;
  /** One line: by which key, and why it does not do. */
  why: string;
  /** The key that made it, where known: fingerprint, and owner or file. */
  key?: string | undefined;
  /** What would help. */
  fix?: string | undefined;
}

/** What became of one requirement. */
export interface RequirementVerdict {
  requirement: Requirement;
  accepted: boolean;
  why: string;
  key?: string | undefined;
  fix?: string | undefined;
  signatures: SignatureVerdict[];
}

/** Whether an image may be used, and why. */
export interface Decision {
  accepted: boolean;
  image: string;
  transport: string;
  /** `sha256:…` of the manifest. */
  digest: string;
  /** The policy's file. */
  file: string;
  /** The scope that holds; '' is the transport's default, undefined the default of the whole policy. */
  scope: string | undefined;
  /** Requirements in their order, up to the first that failed. */
  verdicts: RequirementVerdict[];
  /** The rule that decided: its type. */
  rule: Requirement['type'];
  key: string | undefined;
  why: string;
  /** What would make an image that is refused acceptable, as a command or a sentence. */
  fix: string | undefined;
}

/** Where a rule stands, in words. */
export function scopeText({ scope, transport }: Pick<Decision, 'scope' | 'transport'>): string {
  if (scope === undefined) return 'the default';
  return scope === '' ? `the default for ${transport}:` : `${transport} scope ${scope}`;
}

/**
 * Decides by policy.json whether an image may be used: only the requirements of the most specific scope count, and all
 * of them must hold (containers-policy.json(5)). A rule that cannot be checked (a key file that is not there) refuses.
 */
export async function decide(
  { policy, file }: LoadedPolicy,
  image: ImageInQuestion,
  signal?: AbortSignal,
): Promise<Decision> {
  const { requirements, scope } = applicable(policy, image);
  const digest = `sha256:${createHash('sha256').update(image.manifest).digest('hex')}`;
  // Several rules of one scope ask for the same signatures.
  let fetched: Promise<ImageSignatures> | undefined;
  const signatures = (): Promise<ImageSignatures> => {
    fetched ??= image.signatures();
    return fetched;
  };
  const verdicts: RequirementVerdict[] = [];
  for (const requirement of requirements) {
    const { judge } = await import('./judge.ts');
    verdicts.push(await judge(requirement, { ...image, signatures }, { file, scope, signal }));
    if (verdicts.at(-1)?.accepted !== true) break;
  }
  const last = verdicts.at(-1);
  if (last === undefined) throw new Error('a policy without requirements');
  return {
    accepted: last.accepted,
    image: identityText(image),
    transport: image.transport,
    digest,
    file,
    scope,
    verdicts,
    rule: last.requirement.type,
    key: last.key,
    why: last.why,
    fix: last.fix,
  };
}

/** Throws what `atomic` ends with status 3 for, unless the image is accepted. */
export function requireAccepted(decision: Decision): void {
  if (decision.accepted) return;
  const where = `${decision.file}, ${scopeText(decision)}`;
  throw new OutcomeError('policy', `${decision.image} is refused by policy: ${decision.why} (${where})`, {
    hint: decision.fix,
  });
}
