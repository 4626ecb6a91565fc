import { formatImageName } from '@atomic/oci';
import { AtomicError } from '@atomic/ostree';
import { type FullName, isWildcard, parseFullName } from '../full-name.ts';
import type { RegistriesConfig, Registry } from './registries-config.ts';

/** Length of the part of `name` that `prefix` covers; undefined when it does not. */
function covered(name: string, prefix: string): number | undefined {
  if (isWildcard(prefix)) {
    const domain = prefix.slice(1);
    const at = name.indexOf(domain);
    const end = at + domain.length;
    if (at < 0 || name.slice(0, at).includes('/')) return undefined;
    return end === name.length || /[:/@]/.test(name.charAt(end)) ? end : undefined;
  }
  if (!name.startsWith(prefix)) return undefined;
  // So `example.com` covers example.com:5000 too, as it does for every other reader of the file.
  return name.length === prefix.length || /[:/@]/.test(name.charAt(prefix.length)) ? prefix.length : undefined;
}

/** The one `[[registry]]` that holds for an image: that of the longest prefix. */
export function findRegistry(name: FullName, config: RegistriesConfig): Registry | undefined {
  const text = formatImageName(name);
  let found: Registry | undefined;
  for (const registry of config.registries) {
    if (registry.prefix.length <= (found?.prefix.length ?? 0)) continue;
    if (covered(text, registry.prefix) !== undefined) found = registry;
  }
  return found;
}

/** A place an image is fetched from. */
export interface PullSource {
  /** The image's name there. */
  ref: FullName;
  insecure: boolean;
  /** False for the place itself. */
  mirror: boolean;
}

/** Where an image is fetched from, in the order to try: mirrors that may serve it, then the location itself. */
export function pullSources(name: FullName, registry: Registry | undefined): PullSource[] {
  if (registry === undefined) return [{ ref: name, insecure: false, mirror: false }];
  const mirrors = registry.mirrors.filter(
    ({ pulls }) => pulls === 'all' || (pulls === 'digest-only') === (name.digest !== undefined),
  );
  return [...mirrors, registry].map((endpoint) => ({
    ref: rewrite(name, registry.prefix, endpoint.location, registry.file),
    insecure: endpoint.insecure,
    mirror: endpoint !== registry,
  }));
}

function rewrite(name: FullName, prefix: string, location: string, file: string): FullName {
  if (location === '') return name;
  const text = formatImageName(name);
  const moved = `${location}${text.slice(covered(text, prefix))}`;
  try {
    return parseFullName(moved);
  } catch (cause) {
    const message = `${file}: the location '${location}' makes of ${text} '${moved}', which is not the name of an image`;
    throw new AtomicError('invalid', message, { cause });
  }
}
