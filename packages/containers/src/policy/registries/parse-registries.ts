import { parseImageName } from '@atomic/oci';
import { AtomicError } from '@atomic/ostree';
import { parse, TomlError } from 'smol-toml';
import { z } from 'zod';
import { fullName, isNameOnly, isWildcard, repositoryName } from '../full-name.ts';
import type { Alias, Mirror, Registry, ShortNameMode } from './registries-config.ts';

/** What one file says; undefined where it says nothing. */
export interface RegistriesFile {
  registries: Registry[];
  search: string[] | undefined;
  shortNameMode: ShortNameMode | undefined;
  aliases: Map<string, Alias>;
  credentialHelpers: string[] | undefined;
  version: 1 | 2;
}

// Keys nobody knows are let pass, as by every other reader of the file; values of a wrong type are not.
const list = z.array(z.string());
const oldList = z.object({ registries: list.optional() }).optional();
const endpoint = z.object({ location: z.string().default(''), insecure: z.boolean().default(false) });
const mirror = endpoint.extend({ 'pull-from-mirror': z.enum(['', 'all', 'digest-only', 'tag-only']).default('') });
const schema = z.object({
  'unqualified-search-registries': list.optional(),
  'short-name-mode': z.enum(['', 'enforcing', 'permissive', 'disabled']).optional(),
  'credential-helpers': list.optional(),
  aliases: z.record(z.string(), z.string()).optional(),
  registry: z
    .array(
      endpoint.extend({
        prefix: z.string().default(''),
        blocked: z.boolean().default(false),
        'mirror-by-digest-only': z.boolean().default(false),
        'pull-from-mirror': z.string().default(''),
        mirror: z.array(mirror).default([]),
      }),
    )
    .optional(),
  registries: z.object({ search: oldList, insecure: oldList, block: oldList }).optional(),
});
type Parsed = z.output<typeof schema>;

/** A host, with its port or without. */
export const HOST =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$/;

/**
 * Reads one registries.conf, of version 2 or of version 1 (containers-registries.conf(5)). `file` is named in errors
 * and results; a drop-in must be of version 2. Throws `invalid`.
 */
export function parseRegistriesFile(text: string, file: string, options: { dropIn?: boolean } = {}): RegistriesFile {
  const wrong = (why: string, hint?: string): AtomicError => new AtomicError('invalid', `${file}: ${why}`, { hint });
  let value: unknown;
  try {
    value = parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    throw wrong(`line ${error.line}, column ${error.column}: ${error.message.split('\n')[0]}`);
  }
  const result = schema.safeParse(value);
  if (!result.success) {
    const [issue] = result.error.issues;
    throw wrong(`${issue?.path.join('.')}: ${issue?.message}`);
  }
  const parsed = result.data;
  const old = parsed.registries;
  const hasOld = [old?.search, old?.insecure, old?.block].some((part) => part?.registries !== undefined);
  if (!hasOld) return version2(parsed, file, wrong);
  if (options.dropIn === true) throw wrong('a file in registries.conf.d cannot have the old form', 'use [[registry]]');
  const hasNew = [parsed.registry, parsed.aliases, parsed['unqualified-search-registries']].some(
    (x) => x !== undefined,
  );
  if (hasNew || parsed['short-name-mode'] !== undefined || parsed['credential-helpers'] !== undefined) {
    throw wrong('the old form ([registries.search] …) and the new ([[registry]] …) are mixed', 'write all in the new');
  }
  return { ...version2(fromVersion1(parsed), file, wrong), version: 1 };
}

/** The old form says the same in three lists. */
function fromVersion1({ registries }: Parsed): Parsed {
  const blocked = (registries?.block?.registries ?? []).map(trimmed);
  const insecure = (registries?.insecure?.registries ?? []).map(trimmed);
  return {
    'unqualified-search-registries': registries?.search?.registries ?? [],
    registry: [...new Set([...blocked, ...insecure])].map((location) => ({
      prefix: '',
      location,
      insecure: insecure.includes(location),
      blocked: blocked.includes(location),
      'mirror-by-digest-only': false,
      'pull-from-mirror': '',
      mirror: [],
    })),
  };
}

const trimmed = (location: string): string => location.replace(/\/+$/, '');

type Wrong = (why: string, hint?: string) => AtomicError;

function version2(parsed: Parsed, file: string, wrong: Wrong): RegistriesFile {
  const place = (text: string): string => {
    if (/^https?:\/\//.test(text)) throw wrong(`'${text}' must be a host, without https://`);
    return trimmed(text);
  };
  const registries = (parsed.registry ?? []).map((one): Registry => {
    const location = place(one.location);
    const prefix = one.prefix === '' ? location : place(one.prefix);
    if (prefix === '') throw wrong('a [[registry]] has neither prefix nor location');
    if (location === '' && !isWildcard(prefix)) throw wrong(`the [[registry]] of prefix '${prefix}' has no location`);
    if (isWildcard(prefix) && /[/@:]/.test(prefix)) {
      throw wrong(`prefix '${prefix}' may have no path, port or tag after its wildcard`, 'such as *.example.com');
    }
    if (one['pull-from-mirror'] !== '')
      throw wrong(`pull-from-mirror of '${prefix}' belongs into a [[registry.mirror]]`);
    const byDigest = one['mirror-by-digest-only'];
    const mirrors = one.mirror.map((each): Mirror => {
      const at = place(each.location);
      if (at === '') throw wrong(`a mirror of '${prefix}' has no location`);
      const pulls = each['pull-from-mirror'];
      if (byDigest && pulls !== '') {
        throw wrong(
          `'${prefix}' has mirror-by-digest-only, its mirror '${at}' has pull-from-mirror: only one may be set`,
        );
      }
      return { location: at, insecure: each.insecure, pulls: byDigest ? 'digest-only' : pulls === '' ? 'all' : pulls };
    });
    return { prefix, location, insecure: one.insecure, blocked: one.blocked, mirrors, file };
  });
  refuseConflicts(registries, wrong);
  const search = parsed['unqualified-search-registries']?.map((host) => {
    if (!HOST.test(place(host))) throw wrong(`'${host}' in unqualified-search-registries is not a host`);
    return place(host);
  });
  const mode = parsed['short-name-mode'];
  return {
    // The first of two with the same prefix counts.
    registries: registries.filter((one, i) => registries.findIndex(({ prefix }) => prefix === one.prefix) === i),
    search,
    shortNameMode: mode === '' ? undefined : mode,
    aliases: new Map(
      Object.entries(parsed.aliases ?? {}).map(([name, target]) => parseAlias(name, target, file, wrong)),
    ),
    credentialHelpers: parsed['credential-helpers'],
    version: 2,
  };
}

/** A registry may stand under several prefixes, but cannot be blocked under one and not the other. */
function refuseConflicts(registries: readonly Registry[], wrong: Wrong): void {
  const seen = new Map<string, Registry>();
  for (const one of registries) {
    const key = one.location === '' ? one.prefix : one.location;
    const other = seen.get(key);
    seen.set(key, one);
    if (other === undefined) continue;
    for (const setting of ['insecure', 'blocked'] as const) {
      if (one[setting] !== other[setting])
        throw wrong(`'${key}' stands there twice, once with ${setting} and once without`);
    }
  }
}

function parseAlias(name: string, target: string, file: string, wrong: Wrong): [string, Alias] {
  const read = (text: string): ReturnType<typeof parseImageName> => {
    try {
      return parseImageName(text);
    } catch (error) {
      throw wrong(`alias ${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const short = read(name);
  if (short.registry !== undefined) throw wrong(`alias '${name}' is not a short name: it has a registry`);
  if (!isNameOnly(short)) throw wrong(`alias '${name}' must have neither tag nor digest`);
  if (target === '') return [name, { target: undefined, file }];
  const long = read(target);
  if (long.registry === undefined) throw wrong(`alias ${name}: '${target}' must begin with a registry`);
  if (!isNameOnly(long)) throw wrong(`alias ${name}: '${target}' must have neither tag nor digest`);
  return [name, { target: repositoryName(fullName(long)), file }];
}
