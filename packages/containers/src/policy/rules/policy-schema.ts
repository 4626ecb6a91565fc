import { isAbsolute, normalize } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';
import { isNameOnly, parseFullName, repositoryName } from '../full-name.ts';
import { parseStrictJson } from './strict-json.ts';

// The grammar of policy.json (containers-policy.json(5)). Nothing unknown is let pass: a member that is not understood
// may be the one that would have refused an image.

const path = z.string().min(1, 'is empty');
const data = z.base64().min(1, 'is empty');
const names = (text: string, check: (name: ReturnType<typeof parseFullName>) => boolean): boolean => {
  try {
    return check(parseFullName(text));
  } catch {
    return false;
  }
};

const HOST = /^[a-zA-Z0-9.-]+(?::\d+)?$|^\[[a-fA-F0-9:]+\](?::\d+)?$/;
const prefix = z
  .string()
  .refine(
    (text) => HOST.test(text) || names(text, (name) => isNameOnly(name) && repositoryName(name) === text),
    'must be a host, or a host and a path, whole and without tag',
  );

const identity = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('matchExact') }),
  z.strictObject({ type: z.literal('matchRepoDigestOrExact') }),
  z.strictObject({ type: z.literal('matchRepository') }),
  z.strictObject({
    type: z.literal('exactReference'),
    dockerReference: z.string().refine((text) => names(text, (name) => !isNameOnly(name)), 'must have a tag or digest'),
  }),
  z.strictObject({
    type: z.literal('exactRepository'),
    dockerRepository: z.string().refine((text) => names(text, () => true), 'must be the name of a repository'),
  }),
  z.strictObject({ type: z.literal('remapIdentity'), prefix, signedPrefix: prefix }),
]);
/** Which image a signature must be about. */
export type SignedIdentity = z.output<typeof identity>;

/** How many of some members are set. */
const count = (object: Readonly<Record<string, unknown>>, ...keys: string[]): number =>
  keys.filter((key) => object[key] !== undefined).length;

const signedBy = z
  .strictObject({
    type: z.literal('signedBy'),
    keyType: z.enum(['GPGKeys', 'signedByGPGKeys', 'X509Certificates', 'signedByX509CAs']),
    keyPath: path.optional(),
    keyPaths: z.array(z.string()).optional(),
    keyData: data.optional(),
    signedIdentity: identity.default({ type: 'matchRepoDigestOrExact' }),
  })
  .refine(
    (one) => count(one, 'keyPath', 'keyPaths', 'keyData') === 1,
    'needs exactly one of keyPath, keyPaths, keyData',
  );

const fulcio = z
  .strictObject({
    caPath: path.optional(),
    caData: data.optional(),
    oidcIssuer: z.string().min(1),
    subjectEmail: z.string().min(1),
  })
  .refine((one) => count(one, 'caPath', 'caData') === 1, 'needs exactly one of caPath, caData');

const pki = z
  .strictObject({
    caRootsPath: path.optional(),
    caRootsData: data.optional(),
    caIntermediatesPath: path.optional(),
    caIntermediatesData: data.optional(),
    subjectEmail: z.string().min(1).optional(),
    subjectHostname: z.string().min(1).optional(),
  })
  .refine((one) => count(one, 'caRootsPath', 'caRootsData') === 1, 'needs exactly one of caRootsPath, caRootsData')
  .refine((one) => count(one, 'caIntermediatesPath', 'caIntermediatesData') < 2, 'has two kinds of caIntermediates')
  .refine((one) => count(one, 'subjectEmail', 'subjectHostname') > 0, 'needs subjectEmail or subjectHostname');

const REKOR = ['rekorPublicKeyPath', 'rekorPublicKeyPaths', 'rekorPublicKeyData', 'rekorPublicKeyDatas'];
const SOURCES = ['keyPath', 'keyPaths', 'keyData', 'keyDatas', 'fulcio', 'pki'];
const sigstoreSigned = z
  .strictObject({
    type: z.literal('sigstoreSigned'),
    keyPath: path.optional(),
    keyPaths: z.array(path).min(1).optional(),
    keyData: data.optional(),
    keyDatas: z.array(data).min(1).optional(),
    fulcio: fulcio.optional(),
    pki: pki.optional(),
    rekorPublicKeyPath: path.optional(),
    rekorPublicKeyPaths: z.array(path).min(1).optional(),
    rekorPublicKeyData: data.optional(),
    rekorPublicKeyDatas: z.array(data).min(1).optional(),
    signedIdentity: identity.default({ type: 'matchRepoDigestOrExact' }),
  })
  .refine((one) => count(one, ...SOURCES) === 1, `needs exactly one of ${SOURCES.join(', ')}`)
  .refine((one) => count(one, ...REKOR) < 2, `may have only one of ${REKOR.join(', ')}`)
  .refine((one) => one.fulcio === undefined || count(one, ...REKOR) === 1, 'with fulcio needs a rekorPublicKey')
  .refine((one) => one.pki === undefined || count(one, ...REKOR) === 0, 'with pki cannot have a rekorPublicKey');

const requirement = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('insecureAcceptAnything') }),
  z.strictObject({ type: z.literal('reject') }),
  signedBy,
  z.strictObject({ type: z.literal('signedBaseLayer'), baseLayerIdentity: identity }),
  sigstoreSigned,
]);
/** One thing an image must satisfy. */
export type Requirement = z.output<typeof requirement>;
export type SignedByRule = z.output<typeof signedBy>;
export type SigstoreRule = z.output<typeof sigstoreSigned>;

const requirements = z.array(requirement).min(1, 'must not be empty');
const policy = z.strictObject({
  default: requirements,
  transports: z.record(z.string(), z.record(z.string(), requirements)).default({}),
});
/** What policy.json says. */
export type Policy = z.output<typeof policy>;

const PATHS = new Set(['dir', 'oci', 'oci-archive', 'sif']);
const NO_SCOPES = new Set(['docker-archive', 'tarball']);

/** Why a scope can never match in its transport. */
function scopeProblem(transport: string, scope: string): string | undefined {
  if (scope === '') return undefined;
  if (NO_SCOPES.has(transport)) return `${transport}: has no scopes but ""`;
  if (!PATHS.has(transport)) return undefined;
  if (!isAbsolute(scope)) return `scope '${scope}' must be an absolute path`;
  if (scope === '/') return `scope '/' must be written ""`;
  return normalize(scope) === scope && !scope.endsWith('/') ? undefined : `scope '${scope}' is not a plain path`;
}

/** Parses policy.json; `file` is named in errors. Throws `invalid` for anything that is not understood wholly. */
export function parsePolicy(text: string, file: string): Policy {
  const result = policy.safeParse(parseStrictJson(text, file));
  if (!result.success) {
    const [issue] = result.error.issues;
    throw new AtomicError('invalid', `${file}: ${issue?.path.join(' → ') || 'the policy'}: ${issue?.message}`, {
      hint: 'a policy that is not understood wholly is not followed at all; every pull is refused until it is mended',
    });
  }
  for (const [transport, scopes] of Object.entries(result.data.transports)) {
    for (const scope of Object.keys(scopes)) {
      const problem = scopeProblem(transport, scope);
      if (problem !== undefined) throw new AtomicError('invalid', `${file}: ${problem}`);
    }
  }
  return result.data;
}
