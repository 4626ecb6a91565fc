import { isRepository, isTag } from '@atomic/oci';
import { splitDigest } from '../blobs/digest.ts';
import { RegistryError } from './registry-error.ts';

/** What a request's path names. */
export type Route =
  | { kind: 'base' }
  | { kind: 'token' }
  | { kind: 'catalog' }
  | { kind: 'tags'; name: string }
  | { kind: 'manifest'; name: string; reference: string; digest: string | undefined }
  | { kind: 'blob'; name: string; digest: string }
  | { kind: 'uploads'; name: string }
  | { kind: 'upload'; name: string; id: string }
  | { kind: 'referrers'; name: string; digest: string };

/** Where tokens are got, when this registry gives them itself. */
export const TOKEN_PATH = '/token';
const MAX_PATH = 2048;

/**
 * Takes a request's path apart by the specification's table of endpoints; nothing in it is normalised. Undefined for
 * what no endpoint is called; throws what the specification answers to malformed names and digests.
 */
export function parseRoute(path: string): Route | undefined {
  if (path.length > MAX_PATH) throw new RegistryError(414, 'NAME_INVALID', 'the path is too long');
  if (path === TOKEN_PATH) return { kind: 'token' };
  if (path === '/v2' || path === '/v2/') return { kind: 'base' };
  if (path === '/v2/_catalog') return { kind: 'catalog' };
  const match =
    /^\/v2\/(.+)\/(?:(tags\/list)|(blobs\/uploads)\/?|blobs\/uploads\/([^/]+)|(manifests|blobs|referrers)\/([^/]+))$/.exec(
      path,
    );
  if (match === null) return undefined;
  const [, rawName = '', tags, uploads, id, kind, rawReference = ''] = match;
  const name = decoded(rawName);
  if (!isRepository(name)) throw new RegistryError(400, 'NAME_INVALID', `'${name}' is not the name of a repository`);
  if (tags !== undefined) return { kind: 'tags', name };
  if (uploads !== undefined) return { kind: 'uploads', name };
  if (id !== undefined) return { kind: 'upload', name, id: decoded(id) };
  const reference = decoded(rawReference);
  const digest = splitDigest(reference) === undefined ? undefined : reference;
  if (kind === 'manifests') {
    if (digest !== undefined || isTag(reference)) return { kind: 'manifest', name, reference, digest };
    if (reference.includes(':'))
      throw new RegistryError(400, 'DIGEST_INVALID', `'${reference}' is not a digest that is known here`);
    throw new RegistryError(400, 'MANIFEST_INVALID', `'${reference}' is neither a tag nor a digest`);
  }
  if (digest === undefined)
    throw new RegistryError(400, 'DIGEST_INVALID', `'${reference}' is not a digest that is known here`);
  return kind === 'blobs' ? { kind: 'blob', name, digest } : { kind: 'referrers', name, digest };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new RegistryError(400, 'NAME_INVALID', 'the path has a % that begins no character');
  }
}
