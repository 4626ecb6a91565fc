import { readFileSync } from 'node:fs';
import { AtomicError } from '../error.ts';
import { remoteBoolean, requireRemote } from '../remote/remote.ts';
import type { Repo } from '../repo/repo.ts';
import type { TlsOptions } from './http/connect.ts';

/** What the configuration says about fetching from a remote. */
export interface RemoteSettings {
  name: string;
  /** May be `mirrorlist=URL`. */
  url: string | undefined;
  metalink: string | undefined;
  /** Where objects come from, when not from `url`; may be `mirrorlist=URL`. */
  contentUrl: string | undefined;
  branches: string[];
  collectionId: string | undefined;
  proxy: string | undefined;
  http2: boolean;
  tls: TlsOptions;
}

function tlsOptions(repo: Repo, remote: string): TlsOptions {
  const path = (key: string) => repo.remoteOption(remote, key);
  const file = (key: string): Buffer | undefined => {
    const name = path(key);
    if (name === undefined) return undefined;
    try {
      return readFileSync(name);
    } catch (error) {
      throw new AtomicError('not-found', `${key} of remote "${remote}": cannot read ${name}`, { cause: error });
    }
  };
  if ((path('tls-client-cert-path') === undefined) !== (path('tls-client-key-path') === undefined)) {
    throw new AtomicError(
      'invalid',
      `Remote "${remote}" must specify both "tls-client-cert-path" and "tls-client-key-path"`,
    );
  }
  return {
    permissive: remoteBoolean(repo, remote, 'tls-permissive'),
    ca: file('tls-ca-path'),
    cert: file('tls-client-cert-path'),
    key: file('tls-client-key-path'),
  };
}

/** Reads a remote's settings; throws `not-found`, `invalid`, and what the remote itself says it wants said. */
export function remoteSettings(repo: Repo, name: string): RemoteSettings {
  requireRemote(repo, name);
  const option = (key: string) => repo.remoteOption(name, key);
  const collectionId = option('collection-id');
  return {
    name,
    url: option('url'),
    metalink: option('metalink'),
    contentUrl: option('contenturl'),
    branches: (option('branches') ?? '').split(/[;,]/).filter((one) => one !== ''),
    collectionId: collectionId === '' ? undefined : collectionId,
    proxy: option('proxy'),
    http2: remoteBoolean(repo, name, 'http2') ?? true,
    tls: tlsOptions(repo, name),
  };
}

/** Throws when a remote is not to be pulled from at all. */
export function checkPullable(repo: Repo, name: string): void {
  const unconfigured = repo.remoteOption(name, 'unconfigured-state');
  if (unconfigured !== undefined) throw new AtomicError('failed', `remote unconfigured-state: ${unconfigured}`);
  const backend = repo.remoteOption(name, 'custom-backend');
  if (backend !== undefined) {
    throw new AtomicError(
      'unsupported',
      `Cannot fetch via libostree - remote '${name}' uses custom backend '${backend}'`,
    );
  }
}
