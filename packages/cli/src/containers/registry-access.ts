import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { RegistryAccess } from '@atomic/containers';
import { AtomicError } from '@atomic/ostree';
import type { Command } from 'commander';
import { VERSION } from '../version.ts';

/** Options of every verb that speaks with registries. */
export interface RegistryAccessOptions {
  creds?: string;
  authfile?: string;
  tlsVerify?: string;
  certDir?: string;
}

/** Gives a command those options. */
export const withRegistryAccess = (command: Command): Command =>
  command
    .option('--creds <user:password>', 'who you are to the registry (PASSWORD may be @FILE)')
    .option('--authfile <file>', 'credentials are in this file instead of those of podman and docker')
    .option('--cert-dir <folder>', 'certificates (*.crt to trust, *.cert and *.key to show) are in this folder')
    .option('--tls-verify <bool>', 'false: take any certificate, and plain HTTP where there is no TLS');

/**
 * How registries are spoken with: credentials of the command line, or of the files that podman and docker keep them in;
 * certificates of containers/certs.d and docker/certs.d; the environment's proxies.
 */
export async function registryAccess(options: RegistryAccessOptions): Promise<RegistryAccess> {
  const { certificatesFor, fromAuthFiles } = await import('@atomic/oci');
  const { env } = process;
  const home = homedir();
  const runtime = env['XDG_RUNTIME_DIR'] ?? (process.getuid?.() === 0 ? '/run/containers/0' : undefined);
  const named = options.authfile ?? env['REGISTRY_AUTH_FILE'];
  const files =
    named === undefined
      ? [
          ...(runtime === undefined ? [] : [join(runtime, 'containers/auth.json')]),
          ...(runtime === '/run/containers/0' ? [join(runtime, 'auth.json')] : []),
          join(home, '.config/containers/auth.json'),
          join(env['DOCKER_CONFIG'] ?? join(home, '.docker'), 'config.json'),
        ]
      : [named];
  const own = options.creds === undefined ? undefined : parseCredentials(options.creds);
  const credentials = own === undefined ? fromAuthFiles(files) : () => Promise.resolve(own);
  const folders =
    options.certDir === undefined
      ? [join(home, '.config/containers/certs.d'), '/etc/containers/certs.d', '/etc/docker/certs.d']
      : [];
  const proxy = Object.fromEntries(
    ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'http_proxy', 'https_proxy', 'no_proxy'].map((name) => [name, env[name]]),
  );
  const verify = tlsVerify(options.tlsVerify);
  return ({ ref, insecure }) => ({
    ...(options.certDir === undefined
      ? certificatesFor(ref.registry, folders)
      : certificatesFor('', [options.certDir])),
    credentials,
    proxy,
    insecure: verify === undefined ? insecure : !verify,
    userAgent: `atomic/${VERSION}`,
  });
}

function tlsVerify(text: string | undefined): boolean | undefined {
  if (text === undefined) return undefined;
  if (text === 'true' || text === 'false') return text === 'true';
  throw new AtomicError('usage', `--tls-verify ${text}: must be true or false`);
}

function parseCredentials(text: string): { user: string; password: string } {
  const colon = text.indexOf(':');
  if (colon <= 0) throw new AtomicError('usage', '--creds must be USER:PASSWORD, or USER:@FILE');
  const secret = text.slice(colon + 1);
  const password = secret.startsWith('@') ? readFileSync(secret.slice(1), 'utf8').replace(/\r?\n$/, '') : secret;
  return { user: text.slice(0, colon), password };
}
