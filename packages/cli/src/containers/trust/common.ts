import { homedir } from 'node:os';
import type { SignedIdentity, TrustPaths } from '@atomic/containers';
import { AtomicError } from '@atomic/ostree';
import type { Command } from 'commander';
import { add } from '../common.ts';

/** Options that say where the settings are. */
export interface TrustPathOptions {
  policy?: string;
  'registries.d'?: string;
  registriesConf?: string;
}

/** Adds a verb of `atomic trust` with the options that all of them have. */
export const addTrustVerb = (trust: Command, name: string, summary: string, examples: readonly string[]): Command =>
  withTrustPaths(add(trust, name, summary, examples));

/** Gives a command the options that say where registries, policy and signatures are set up. */
export const withTrustPaths = (command: Command): Command =>
  command
    .option('--policy <file>', 'this policy.json instead of your own or the system’s')
    .option('--registries.d <folder>', 'this folder for where signatures are')
    .option('--registries-conf <file>', 'this registries.conf, without drop-ins');

/** The files that count for who runs this; the environment may name registries.conf, as with podman. */
export async function pathsOf(options: TrustPathOptions): Promise<TrustPaths> {
  const { trustPaths } = await import('@atomic/containers');
  const { CONTAINERS_REGISTRIES_CONF, REGISTRIES_CONFIG_PATH } = process.env;
  const registriesConf = options.registriesConf ?? CONTAINERS_REGISTRIES_CONF ?? REGISTRIES_CONFIG_PATH;
  const registriesD = options['registries.d'];
  return trustPaths({
    home: homedir(),
    privileged: process.getuid?.() === 0,
    override: {
      ...(registriesConf === undefined ? {} : { registriesConf, registriesConfDirs: [] }),
      ...(options.policy === undefined ? {} : { policy: options.policy }),
      ...(registriesD === undefined ? {} : { registriesD }),
    },
  });
}

/** How a signed identity is written on the command line. */
export const IDENTITY_HELP =
  'matchExact, matchRepoDigestOrExact (default), matchRepository, exactReference=NAME:TAG, exactRepository=NAME, remapIdentity=PREFIX=SIGNED-PREFIX';

/** Reads one; throws `usage`. */
export function parseIdentity(text: string): SignedIdentity {
  const [type = '', ...values] = text.split('=');
  const [first = '', second = ''] = values;
  if (
    values.length === 0 &&
    (type === 'matchExact' || type === 'matchRepoDigestOrExact' || type === 'matchRepository')
  ) {
    return { type };
  }
  if (values.length === 1 && type === 'exactReference') return { type, dockerReference: first };
  if (values.length === 1 && type === 'exactRepository') return { type, dockerRepository: first };
  if (values.length === 2 && type === 'remapIdentity') return { type, prefix: first, signedPrefix: second };
  throw new AtomicError('usage', `'${text}' is not an identity`, { hint: `one of ${IDENTITY_HELP}` });
}

const SIGSTORE_TYPES: Record<string, string> = { web: 'docker', docker: 'docker', local: 'dir', atomic: 'atomic' };

/** The transport an option names; the old option had names of its own for three of them. */
export function transportOf(options: { transport?: string; sigstoretype?: string }): string {
  if (options.transport !== undefined) return options.transport.replace(/:$/, '');
  if (options.sigstoretype === undefined) return 'docker';
  const transport = SIGSTORE_TYPES[options.sigstoretype];
  if (transport !== undefined) return transport;
  throw new AtomicError('usage', `--sigstoretype ${options.sigstoretype}: must be web, local or atomic`);
}

/** A scope as it stands in the policy: names without a registry are docker.io's, written out. */
export async function scopeOf(text: string, transport: string): Promise<string> {
  if (text === '' || transport !== 'docker' || text.startsWith('*.')) return text;
  // A host alone, or host and namespaces, is no name of an image; both are scopes.
  if (!text.includes('/') && (/[.:]/.test(text.replace(/:\d+$/, '')) || /:\d+$/.test(text) || text === 'localhost'))
    return text;
  const { parseFullName } = await import('@atomic/containers');
  const { formatImageName } = await import('@atomic/oci');
  const first = text.split('/')[0] ?? '';
  // `docker.io/openshift` is a namespace, not docker.io/library/openshift.
  return /[.:]/.test(first) || first === 'localhost' ? text : formatImageName(parseFullName(text));
}
