import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { AtomicError } from '../error.ts';
import { type Checksum, isChecksum } from '../objects/checksum.ts';
import { remoteBoolean, requireRemote } from '../remote/remote.ts';
import { validateRefName } from '../repo/ref-name.ts';
import { Repo } from '../repo/repo.ts';
import type { TlsOptions } from './fetcher.ts';
import type { HttpSourceOptions } from './http-source.ts';
import { LocalSource } from './local-source.ts';
import type { ObjectSource } from './source.ts';
import { type PullResult, type TransferOptions, transfer, type Wanted } from './transfer.ts';

export type { PullResult } from './transfer.ts';

export interface ConnectOptions {
  /** Instead of the URL in the remote's configuration. */
  url?: string | undefined;
  /** How often each request is tried again (5). */
  retries?: number | undefined;
  /** First pause before trying again, in ms (250); it doubles each time. */
  retryDelay?: number | undefined;
  /** A response that brings next to nothing for this long is given up and tried again (30). */
  stallSeconds?: number | undefined;
  /** Requests in flight to one host (8). */
  concurrency?: number | undefined;
  /** Bodies above this many bytes are downloaded to a file that a later run can continue (1 MiB). */
  spillBytes?: number | undefined;
  headers?: Record<string, string> | undefined;
  userAgent?: string | undefined;
  signal?: AbortSignal | undefined;
}

export interface PullOptions extends ConnectOptions, Omit<TransferOptions, 'collectionId'> {
  remote: string;
  /** Branches, checksums, or BRANCH@CHECKSUM; none: the branches the remote's configuration names. */
  refs: string[];
  /** Write the refs as branches of this repository instead of as the remote's; without refs: all there are. */
  mirror?: boolean | undefined;
}

/** Refuses a remote whose configuration asks for checks that are not made: skipping them would be silent trust. */
function checkVerification(repo: Repo, remote: string): void {
  const asked = [
    // As libostree: signatures of commits are checked unless the configuration says otherwise.
    (remoteBoolean(repo, remote, 'gpg-verify') ?? true) ? 'gpg-verify' : null,
    remoteBoolean(repo, remote, 'gpg-verify-summary') === true ? 'gpg-verify-summary' : null,
    ...['sign-verify', 'sign-verify-summary'].map((key) => {
      const value = repo.remoteOption(remote, key);
      return value === undefined || value === 'false' || value === '0' ? null : key;
    }),
  ].find((key) => key !== null);
  if (asked === undefined || asked === null) return;
  throw new AtomicError(
    'unsupported',
    `remote "${remote}" requires signature verification (${asked}), which is not supported yet`,
    {
      hint: `to accept unsigned commits from it, set ${asked}=false in [remote "${remote}"] of the repository's config`,
    },
  );
}

function parseUrl(text: string, what: string): URL {
  const refuse = (why: string) =>
    new AtomicError('unsupported', `${what}: ${why}`, { hint: 'use an http://, https:// or file:// URL' });
  if (text.startsWith('mirrorlist=')) throw refuse('mirror lists are not supported yet');
  const url = URL.parse(text);
  if (url === null) throw refuse(`'${text}' is not a URL`);
  if (url.protocol !== 'http:' && url.protocol !== 'https:' && url.protocol !== 'file:') {
    throw refuse(`'${url.protocol}' URLs are not supported`);
  }
  return url;
}

function tlsOptions(repo: Repo, remote: string): TlsOptions {
  const file = (key: string): Buffer | undefined => {
    const path = repo.remoteOption(remote, key);
    if (path === undefined) return undefined;
    try {
      return readFileSync(path);
    } catch (error) {
      throw new AtomicError('not-found', `${key} of remote "${remote}": cannot read ${path}`, { cause: error });
    }
  };
  return {
    permissive: remoteBoolean(repo, remote, 'tls-permissive'),
    ca: file('tls-ca-path'),
    cert: file('tls-client-cert-path'),
    key: file('tls-client-key-path'),
  };
}

/** Opens what a remote's configuration points to. `checked`: it must be an archive repository, as for objects. */
export async function openRemote(
  repo: Repo,
  remote: string,
  options: ConnectOptions,
  checked: boolean,
): Promise<ObjectSource> {
  requireRemote(repo, remote);
  const unconfigured = repo.remoteOption(remote, 'unconfigured-state');
  if (unconfigured !== undefined) {
    throw new AtomicError('failed', `remote unconfigured-state: ${unconfigured}`);
  }
  const backend = repo.remoteOption(remote, 'custom-backend');
  if (backend !== undefined && options.url === undefined) {
    throw new AtomicError(
      'unsupported',
      `Cannot fetch via libostree - remote '${remote}' uses custom backend '${backend}'`,
    );
  }
  const address = options.url ?? repo.remoteOption(remote, 'url');
  if (address === undefined) {
    const metalink = repo.remoteOption(remote, 'metalink') !== undefined;
    throw metalink
      ? new AtomicError('unsupported', `remote "${remote}" is a metalink, which is not supported yet`)
      : new AtomicError('invalid', `No "url" in remote "${remote}"`);
  }
  const url = parseUrl(address, `remote "${remote}"`);
  // A file: URL is as foreign as any other, so what comes from it is verified.
  if (url.protocol === 'file:') return new LocalSource(Repo.open(fileURLToPath(url)), { trusted: false });
  const contentAddress = options.url === undefined ? repo.remoteOption(remote, 'contenturl') : undefined;
  const contentUrl = contentAddress === undefined ? undefined : parseUrl(contentAddress, `contenturl of "${remote}"`);
  if (contentUrl?.protocol === 'file:') {
    throw new AtomicError('unsupported', `contenturl of "${remote}": only http and https URLs are supported`);
  }
  const sourceOptions: HttpSourceOptions = {
    ...options,
    contentUrl,
    proxy: repo.remoteOption(remote, 'proxy'),
    tls: tlsOptions(repo, remote),
  };
  // Node's HTTP client takes a while to load, and most commands of a store need none.
  const { HttpSource } = await import('./http-source.ts');
  const source = new HttpSource(repo, url, sourceOptions);
  if (checked) {
    try {
      await source.checkMode();
    } catch (error) {
      source[Symbol.dispose]();
      throw error;
    }
  }
  return source;
}

/** Splits BRANCH@CHECKSUM, which names a branch and the commit wanted of it. */
function parseWanted(text: string): { branch: string | null; checksum: Checksum | null } {
  if (isChecksum(text)) return { branch: null, checksum: text };
  const at = text.lastIndexOf('@');
  const checksum = text.slice(at + 1);
  if (at > 0 && isChecksum(checksum)) return { branch: validateRefName(text.slice(0, at)), checksum };
  return { branch: validateRefName(text), checksum: null };
}

/** Finds out which commits are meant. `toRefspec` names the ref here that is to follow a branch there. */
export async function resolveWanted(
  source: ObjectSource,
  names: readonly string[],
  toRefspec: (branch: string) => string,
): Promise<Wanted[]> {
  return await Promise.all(
    [...new Set(names)].map(async (name) => {
      const { branch, checksum } = parseWanted(name);
      const found = checksum ?? (branch === null ? null : await source.resolveRef(branch));
      if (found === null) {
        throw new AtomicError('not-found', `No such branch '${name}' in ${source.label}`, {
          hint: 'list the branches there with: ostree remote refs REMOTE',
        });
      }
      return { name, checksum: found, branch, refspec: branch === null ? null : toRefspec(branch) };
    }),
  );
}

/**
 * Fetches branches or commits from a configured remote, over HTTP(S) (archive repositories) or from a file: URL.
 * Every object is verified before it can be seen; refs move last; interrupted, it changes nothing visible and the
 * next run continues. Throws `not-found` (remote, branch, object), `network`, `corrupt` (naming the object),
 * `unsupported` (a remote that requires signatures), `invalid` (a commit of another branch), `aborted`, `no-space`.
 */
export async function pull(repo: Repo, options: PullOptions): Promise<PullResult> {
  const { remote } = options;
  requireRemote(repo, remote);
  checkVerification(repo, remote);
  // Not the caller's signal alone: the first failure, too, must stop what else is under way.
  using source = await openRemote(repo, remote, options, true);
  let names = options.refs;
  if (names.length === 0)
    names = (repo.remoteOption(remote, 'branches') ?? '').split(/[;,]/).filter((one) => one !== '');
  if (names.length === 0 && options.mirror === true) names = [...(await source.listRefs()).keys()];
  if (names.length === 0) {
    throw new AtomicError('usage', `No branch given, and no configured branches for remote ${remote}`, {
      hint: `name a branch, or set branches= in [remote "${remote}"]`,
    });
  }
  const wanted = await resolveWanted(source, names, (branch) => (options.mirror ? branch : `${remote}:${branch}`));
  return await transfer(repo, source, wanted, {
    ...options,
    collectionId: repo.remoteOption(remote, 'collection-id'),
  });
}
