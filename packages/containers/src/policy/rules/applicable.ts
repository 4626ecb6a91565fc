import { realpathSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { formatImageName } from '@atomic/oci';
import { dockerScopes, type FullName, pullName } from '../full-name.ts';
import type { Policy, Requirement } from './policy-schema.ts';

/** An image by how it is reached: what policy.json distinguishes. */
export interface ImageIdentity {
  /** As in `docker:`, `oci:`, `docker-daemon:` … */
  transport: string;
  /** Its name, for transports that have names. */
  name?: FullName | undefined;
  /** Its file or folder, for those that have paths. */
  path?: string | undefined;
  /** containers-storage: `overlay@/var/lib/containers/storage`. */
  store?: string | undefined;
}

/** The scopes of an image, most specific first, without the transport's default. */
export function scopesOf({ transport, name, path, store }: ImageIdentity): string[] {
  if (path !== undefined) return parents(path);
  const named = name === undefined ? [] : dockerScopes(name);
  if (transport !== 'containers-storage') return named;
  if (store === undefined) return [];
  return [...named.map((scope) => `[${store}]${scope}`), `[${store}]`, `[${store.slice(store.indexOf('@') + 1)}]`];
}

/** A path and its folders, links followed, without `/`. */
function parents(path: string): string[] {
  let at = resolve(path);
  try {
    at = realpathSync(at);
  } catch {
    // Not there, or not to be looked at: then by the name it was given.
  }
  const all: string[] = [];
  for (; at !== '/'; at = dirname(at)) all.push(at);
  return all;
}

/** How an image is called in messages. */
export function identityText({ transport, name, path }: ImageIdentity): string {
  if (name !== undefined) return formatImageName(pullName(name));
  return path === undefined ? `${transport}:` : `${transport}:${path}`;
}

/** The part of a policy that holds for an image. */
export interface Applicable {
  requirements: readonly Requirement[];
  /** The scope in the policy; '' is the transport's default; undefined the default of all. */
  scope: string | undefined;
}

/** Finds the one list of requirements that holds: that of the most specific scope, all others are ignored. */
export function applicable(policy: Policy, image: ImageIdentity): Applicable {
  const scopes = Object.hasOwn(policy.transports, image.transport) ? policy.transports[image.transport] : undefined;
  for (const scope of scopes === undefined ? [] : [...scopesOf(image), '']) {
    const requirements = scopes !== undefined && Object.hasOwn(scopes, scope) ? scopes[scope] : undefined;
    if (requirements !== undefined) return { requirements, scope };
  }
  return { requirements: policy.default, scope: undefined };
}
