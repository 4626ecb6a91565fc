import { AtomicError } from '@atomic/ostree';
import { oneLine } from '../one-line.ts';
import { gpgKeySources } from '../rules/judge-signed-by.ts';
import { sigstoreKeys } from '../rules/judge-sigstore.ts';
import { loadPolicy } from '../rules/load-policy.ts';
import type { Requirement } from '../rules/policy-schema.ts';
import { loadRegistriesD, type SignatureSection } from '../signatures/registries-d.ts';
import { keySourceName, withGpgKeys } from '../signatures/simple-signing.ts';
import type { TrustPaths } from '../trust-paths.ts';

/** A key of a rule, as it is found on disk now. */
export interface TrustKey {
  file: string;
  /** Fingerprint and owner; undefined when there is a problem. */
  key: string | undefined;
  /** Expired, revoked, not there … */
  problem: string | undefined;
}

/** One requirement of one scope. */
export interface TrustRow {
  /** '' for the default of everything. */
  transport: string;
  /** '' for the transport's default. */
  scope: string;
  type: Requirement['type'];
  identity: string | undefined;
  keys: TrustKey[];
  /** Where signatures of that scope are read. */
  lookaside: string | undefined;
  attachments: boolean;
}

/** Every rule there is, with the state of its keys. Throws as `loadPolicy` does. */
export async function listTrust(paths: TrustPaths, signal?: AbortSignal): Promise<TrustRow[]> {
  const { policy, file } = loadPolicy(paths.policy);
  const settings = loadRegistriesD(paths.registriesD);
  const rows: TrustRow[] = [];
  const add = async (
    transport: string,
    scope: string,
    requirements: readonly Requirement[],
    places: SignatureSection | undefined,
  ): Promise<void> => {
    for (const requirement of requirements) {
      rows.push({
        transport,
        scope,
        type: requirement.type,
        identity: 'signedIdentity' in requirement ? requirement.signedIdentity.type : undefined,
        keys: await keysOf(requirement, file, signal),
        lookaside: places?.lookaside,
        attachments: places?.attachments ?? false,
      });
    }
  };
  await add('', '', policy.default, settings.fallback);
  for (const [transport, scopes] of Object.entries(policy.transports)) {
    for (const [scope, requirements] of Object.entries(scopes)) {
      const places = transport === 'docker' ? (settings.byScope.get(scope) ?? settings.fallback) : undefined;
      await add(transport, scope, requirements, places);
    }
  }
  return rows;
}

/** The keys of a rule, each as it is now. */
export async function keysOf(
  requirement: Requirement,
  file: string,
  signal: AbortSignal | undefined,
): Promise<TrustKey[]> {
  const trouble = (name: string, error: unknown): TrustKey => {
    signal?.throwIfAborted();
    if (!(error instanceof AtomicError)) throw error;
    return { file: name, key: undefined, problem: error.message };
  };
  if (requirement.type === 'sigstoreSigned') {
    try {
      return sigstoreKeys(requirement, file).map(({ fingerprint, name }) => ({
        file: name,
        key: fingerprint,
        problem: undefined,
      }));
    } catch (error) {
      return [trouble(requirement.keyPath ?? 'a key', error)];
    }
  }
  if (requirement.type !== 'signedBy') return [];
  const all: TrustKey[] = [];
  for (const source of gpgKeySources(requirement, file)) {
    const name = keySourceName(source);
    try {
      await withGpgKeys(
        [source],
        async (_open, keys) => {
          for (const { subkeys, userIds } of keys) {
            const [primary] = subkeys;
            const problem = primary?.revoked ? 'revoked' : primary?.expired ? 'expired' : undefined;
            all.push({ file: name, key: `${primary?.fingerprint} (${oneLine(userIds[0]?.uid ?? '?')})`, problem });
          }
        },
        signal,
      );
    } catch (error) {
      all.push(trouble(name, error));
    }
  }
  return all;
}
