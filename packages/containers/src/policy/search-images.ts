import { type FoundImage, searchRegistry } from '@atomic/oci';
import { AtomicError } from '@atomic/ostree';
import { findRegistry } from './registries/find-registry.ts';
import type { RegistriesConfig } from './registries/registries-config.ts';
import type { RegistryAccess } from './registry-image.ts';

export interface SearchImagesOptions {
  config: RegistriesConfig;
  access: RegistryAccess;
  /** Registries to ask instead of the list in registries.conf. */
  registries?: readonly string[] | undefined;
  /** The most results of one registry. */
  limit: number;
  signal?: AbortSignal | undefined;
}

export interface SearchResult {
  /** Registry by registry in the order asked; of one the most liked first. */
  images: FoundImage[];
  /** Registries that did not answer, or must not be asked. */
  failures: { registry: string; why: string }[];
}

/**
 * Searches several registries at once. A term that begins with a registry is searched there only. One that fails does
 * not stop the others; throws when all do, or when there is none to ask.
 */
export async function searchImages(text: string, options: SearchImagesOptions): Promise<SearchResult> {
  const { config, access, limit, signal } = options;
  const [, host, rest] = /^([^/]*[.:][^/]*|localhost)\/(.*)$/.exec(text) ?? [];
  const term = host === undefined ? text : (rest ?? '');
  const registries = host !== undefined ? [host] : (options.registries ?? config.search);
  if (registries.length === 0) {
    throw new AtomicError('not-found', 'no registry is set to be searched', {
      hint: 'name one: atomic search --registry docker.io TERM; or set unqualified-search-registries in registries.conf',
    });
  }
  const asked = registries.map(async (registry): Promise<FoundImage[]> => {
    const name = { registry, repository: term === '' ? 'search' : term, tag: undefined, digest: undefined };
    const settings = findRegistry(name, config);
    if (settings?.blocked === true) throw new AtomicError('permission', `it is blocked in ${settings.file}`);
    const place = access({ ref: name, insecure: settings?.insecure ?? false });
    const found = await searchRegistry(registry, term, place, { limit, signal });
    return found.sort((a, b) => b.stars - a.stars || (a.name < b.name ? -1 : 1));
  });
  const answers = await Promise.allSettled(asked);
  signal?.throwIfAborted();
  const failures = answers.flatMap((answer, i) => {
    if (answer.status === 'fulfilled') return [];
    const reason: unknown = answer.reason;
    if (!(reason instanceof AtomicError)) throw reason;
    return [{ registry: registries[i] ?? '', why: reason.message }];
  });
  const [first] = failures;
  if (first !== undefined && failures.length === registries.length) {
    const all = failures.map(({ registry, why }) => `${registry}: ${why}`).join('; ');
    throw new AtomicError('network', `no registry could be searched: ${all}`);
  }
  return { images: answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : [])), failures };
}
