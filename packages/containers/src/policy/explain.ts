import {
  formatImageName,
  formatImageReference,
  type ImageReference,
  openSource,
  parseImageName,
  parseImageReference,
} from '@atomic/oci';
import { AtomicError, type FetcherOptions } from '@atomic/ostree';
import { keysOf, type TrustKey } from './edit/list-trust.ts';
import { judgeLocalImage, localIdentity } from './local-image.ts';
import { findRegistry } from './registries/find-registry.ts';
import { loadRegistries } from './registries/load-registries.ts';
import { blockedError, type Candidate, type Resolution, resolveImage } from './registries/resolve-image.ts';
import { judgeRegistryImage, openCandidate, placesOf, type RegistryAccess } from './registry-image.ts';
import { applicable, type ImageIdentity, scopesOf } from './rules/applicable.ts';
import { type Decision, decide } from './rules/decide.ts';
import { loadPolicy } from './rules/load-policy.ts';
import type { Requirement } from './rules/policy-schema.ts';
import { noSignatures } from './signatures/blob.ts';
import type { SignaturePlaces } from './signatures/registries-d.ts';
import type { TrustPaths } from './trust-paths.ts';

/** Everything that decides about one image, and what comes of it. */
export interface Explanation {
  /** Whole name, or transport and path. */
  image: string;
  /** `unknown`: a rule needs the image itself, and it could not be asked or was not to be. */
  verdict: 'accepted' | 'refused' | 'unknown';
  why: string;
  fix: string | undefined;
  /** How a name was understood; undefined for what has no name. */
  resolution: { by: Resolution['by']; file: string | undefined; others: string[] } | undefined;
  /** The `[[registry]]` that holds. */
  registry: { prefix: string; file: string; blocked: boolean; places: string[] } | undefined;
  policy: {
    file: string;
    transport: string;
    scope: string | undefined;
    /** Wider scopes that have rules too, which are not looked at. */
    ignored: string[];
    requirements: Requirement[];
  };
  /** Keys of the requirements, as they are on disk now. */
  keys: TrustKey[];
  /** Where signatures are looked for. */
  places: SignaturePlaces | undefined;
  decision: Decision | undefined;
}

export interface ExplainOptions {
  paths: TrustPaths;
  access: RegistryAccess;
  /** Do not ask the registry: only what the files say. */
  offline?: boolean | undefined;
  http?: FetcherOptions | undefined;
  signal?: AbortSignal | undefined;
}

const TRANSPORT = /^(?:oci|oci-archive|docker-archive|docker-daemon|containers-storage|dir|docker|registry):/;

/**
 * Explains whether an image (a name, or `oci:…`, `docker-daemon:…`) may be used: which rule holds, in which scope, by
 * which key, why, and what would help. Throws for settings that cannot be read.
 */
export async function explainTrust(text: string, options: ExplainOptions): Promise<Explanation> {
  const reference: ImageReference = TRANSPORT.test(text)
    ? parseImageReference(text)
    : { transport: 'docker', name: parseImageName(text) };
  if (reference.transport === 'docker') return await explainRegistryImage(reference.name, options);
  const identity = localIdentity(reference);
  const known = {
    image: formatImageReference(reference),
    ...(await rulesOf(identity, options)),
    resolution: undefined,
    registry: undefined,
    places: undefined,
  };
  return await conclude(known, identity, options, async (signal) => {
    const ask = async () => {
      await using source = await openSource(reference, { signal });
      return (await source.manifest()).bytes;
    };
    return await judgeLocalImage(reference, ask, options.paths, signal);
  });
}

async function explainRegistryImage(name: ReturnType<typeof parseImageName>, options: ExplainOptions) {
  const config = loadRegistries(options.paths);
  const resolution = resolveImage(name, config);
  const open = resolution.candidates.find(({ blocked }) => blocked === undefined);
  const candidate = open ?? resolution.candidates[0];
  if (candidate === undefined) throw new AtomicError('not-found', `${formatImageName(name)} stands for nothing`);
  const identity: ImageIdentity = { transport: 'docker', name: candidate.name };
  const others = resolution.candidates.filter((one) => one !== candidate).map((one) => formatImageName(one.name));
  const known = {
    image: formatImageName(candidate.name),
    ...(await rulesOf(identity, options)),
    resolution: { by: resolution.by, file: resolution.file, others },
    registry: registryOf(candidate, config),
    places: placesOf(candidate.name, options.paths),
  };
  if (candidate.blocked !== undefined) {
    const { message, hint } = blockedError(candidate);
    return { ...known, verdict: 'refused' as const, why: message, fix: hint, decision: undefined };
  }
  return await conclude(known, identity, options, async (signal) => {
    await using source = openCandidate(candidate, options.access);
    return await judgeRegistryImage({ ...options, name: candidate.name, source, signal });
  });
}

function registryOf(candidate: Candidate, config: ReturnType<typeof loadRegistries>): Explanation['registry'] {
  const found = findRegistry(candidate.name, config);
  if (found === undefined) return undefined;
  const places = candidate.sources.map(({ ref }) => formatImageName(ref));
  return { prefix: found.prefix, file: found.file, blocked: found.blocked, places };
}

async function rulesOf(identity: ImageIdentity, { paths, signal }: ExplainOptions) {
  const { policy, file } = loadPolicy(paths.policy);
  const { requirements, scope } = applicable(policy, identity);
  const scopes = Object.keys(policy.transports[identity.transport] ?? {});
  const wider = [...scopesOf(identity), ''].filter((one) => scopes.includes(one) && one !== scope);
  const keys = await Promise.all(requirements.map((one) => keysOf(one, file, signal)));
  return {
    policy: { file, transport: identity.transport, scope, ignored: wider, requirements: [...requirements] },
    keys: keys.flat(),
  };
}

type Known = Omit<Explanation, 'verdict' | 'why' | 'fix' | 'decision'>;

/** Adds what comes of it. Where no rule asks for signatures, the image itself need not be there. */
async function conclude(
  known: Known,
  identity: ImageIdentity,
  { offline, signal }: ExplainOptions,
  ask: (signal: AbortSignal | undefined) => Promise<Decision>,
): Promise<Explanation> {
  const { requirements } = known.policy;
  const unsigned = requirements.every(({ type }) => type === 'insecureAcceptAnything');
  const unknown = (why: string, fix: string | undefined): Explanation => ({
    ...known,
    verdict: 'unknown',
    why,
    fix,
    decision: undefined,
  });
  if (unsigned) {
    const why = 'anything is accepted, signed or not';
    return { ...known, verdict: 'accepted', why, fix: undefined, decision: undefined };
  }
  const rejects = requirements[0]?.type === 'reject';
  if (offline === true && !rejects) {
    return unknown('it must be signed; whether it is was not looked at', 'ask without --offline');
  }
  try {
    const decision = rejects ? await rejection(known.policy, identity) : await ask(signal);
    const { accepted, why, fix } = decision;
    return { ...known, verdict: accepted ? 'accepted' : 'refused', why, fix, decision };
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof AtomicError)) throw error;
    return unknown(`it must be signed, and could not be looked at: ${error.message}`, error.hint);
  }
}

/** What is rejected whatever it is need not be fetched. */
async function rejection({ file, scope, requirements }: Known['policy'], identity: ImageIdentity): Promise<Decision> {
  const image = { ...identity, manifest: Buffer.alloc(0), signatures: async () => noSignatures() };
  const decision = await decide({ policy: { default: requirements, transports: {} }, file }, image);
  return { ...decision, scope };
}
