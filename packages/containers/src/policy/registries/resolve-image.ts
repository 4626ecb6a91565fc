import { formatImageName, type ImageName, parseImageName } from '@atomic/oci';
import { AtomicError } from '@atomic/ostree';
import { OutcomeError } from '../../outcome.ts';
import { type FullName, fullName, pullName } from '../full-name.ts';
import { findRegistry, type PullSource, pullSources } from './find-registry.ts';
import type { RegistriesConfig } from './registries-config.ts';

/** One image that a name may mean, and how to get it. */
export interface Candidate {
  /** Its whole name, with tag or digest: what it is stored under and what policy is asked about. */
  name: FullName;
  /** Where to fetch it, in the order to try; the same digest under another name. */
  sources: PullSource[];
  /** Why it may not be contacted at all. */
  blocked?: { prefix: string; file: string };
}

export interface Resolution {
  /** In the order to try. More than one only for a short name without alias. */
  candidates: Candidate[];
  /** How the name was understood. */
  by: 'name' | 'alias' | 'search';
  /** The file the alias or the list of registries is from. */
  file?: string;
  /** More than one is meant and the person should choose; with `enforcing`, must. */
  ask?: 'should' | 'must';
}

/**
 * Which images a name means: itself when it has a registry, else its alias, else one at each search registry
 * (containers-registries.conf(5), short names). Throws `not-found` when nothing says where a short name is.
 */
export function resolveImage(name: ImageName, config: RegistriesConfig): Resolution {
  const candidate = (full: FullName): Candidate => {
    const pull = pullName(full);
    const registry = findRegistry(pull, config);
    if (registry?.blocked !== true) return { name: pull, sources: pullSources(pull, registry) };
    return { name: pull, sources: [], blocked: { prefix: registry.prefix, file: registry.file } };
  };
  if (name.registry !== undefined) return { candidates: [candidate(fullName(name))], by: 'name' };
  const alias = config.aliases.get(name.repository);
  if (alias?.target !== undefined) {
    const { registry, repository } = parseImageName(alias.target);
    return { candidates: [candidate(fullName({ ...name, registry, repository }))], by: 'alias', file: alias.file };
  }
  if (config.search.length === 0) {
    throw new AtomicError('not-found', `'${formatImageName(name)}' does not say which registry it is in`, {
      hint: `name one, such as ${formatImageName(fullName(name))}, or set unqualified-search-registries in registries.conf`,
    });
  }
  const candidates = config.search.map((registry) => candidate(fullName({ ...name, registry })));
  const ask =
    candidates.length < 2 || config.shortNameMode === 'disabled'
      ? undefined
      : config.shortNameMode === 'enforcing'
        ? 'must'
        : 'should';
  return {
    candidates,
    by: 'search',
    ...(config.searchFile === undefined ? {} : { file: config.searchFile }),
    ...(ask === undefined ? {} : { ask }),
  };
}

/** The names a short name may have among images that are here already: its alias, localhost, then the search list. */
export function localNames(name: ImageName, config: RegistriesConfig): FullName[] {
  if (name.registry !== undefined) return [pullName(fullName(name))];
  const target = config.aliases.get(name.repository)?.target;
  const alias = target === undefined ? [] : [{ ...name, ...pathOf(target) }];
  const others = ['localhost', ...config.search].map((registry) => fullName({ ...name, registry }));
  return [...alias, ...others].map(pullName);
}

function pathOf(target: string): { registry: string; repository: string } {
  const { registry, repository } = fullName(parseImageName(target));
  return { registry, repository };
}

/** The error for an image that must not be pulled. */
export function blockedError({ name, blocked }: Candidate): OutcomeError {
  return new OutcomeError('policy', `${formatImageName(name)}: the registry is blocked`, {
    hint: `${blocked?.file} says blocked = true for ${blocked?.prefix}; pull from elsewhere or change it there`,
  });
}
