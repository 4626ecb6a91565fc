import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errnoCode } from '@atomic/linux';
import { AtomicError } from '@atomic/ostree';
import type { TrustPaths } from '../trust-paths.ts';
import { parseRegistriesFile, type RegistriesFile } from './parse-registries.ts';
import { type Alias, NO_REGISTRIES, type RegistriesConfig, type Registry } from './registries-config.ts';

const MAX_FILE = 4 * 1024 * 1024;

/** A text file of settings; undefined when it is not there. Throws `invalid` when it is far too large for one. */
export function readSettings(path: string): string | undefined {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return undefined;
    if (errnoCode(error) === 'EACCES') throw new AtomicError('permission', `${path}: not readable`, { cause: error });
    throw error;
  }
  if (bytes.length > MAX_FILE) throw new AtomicError('invalid', `${path} is too large for a file of settings`);
  return bytes.toString('utf8');
}

/** Files with an ending in a folder, by name; none when there is no such folder. */
export function settingsIn(folder: string, ending: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => !entry.isDirectory() && entry.name.endsWith(ending))
      .map(({ name }) => join(folder, name))
      .sort();
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return [];
    throw error;
  }
}

/**
 * Reads registries.conf, then its drop-ins, each over those before it, then the aliases chosen at a prompt (which
 * go before all). Files that are not there say nothing. Throws `invalid` for one that says something wrong.
 */
export function loadRegistries(
  paths: Pick<TrustPaths, 'registriesConf' | 'registriesConfDirs' | 'shortNameAliases'>,
): RegistriesConfig {
  const dropIns = paths.registriesConfDirs.flatMap((folder) => settingsIn(folder, '.conf'));
  const files = [paths.registriesConf, ...dropIns, paths.shortNameAliases];
  const read = files.flatMap((file): [string, RegistriesFile][] => {
    const text = readSettings(file);
    const dropIn = file !== paths.registriesConf;
    return text === undefined ? [] : [[file, parseRegistriesFile(text, file, { dropIn })]];
  });
  const registries = new Map<string, Registry>();
  const aliases = new Map<string, Alias>();
  let { search, searchFile, shortNameMode, credentialHelpers } = NO_REGISTRIES;
  for (const [file, one] of read) {
    for (const [name, alias] of one.aliases) aliases.set(name, alias);
    if (file === paths.shortNameAliases) continue;
    for (const registry of one.registries) registries.set(registry.prefix, registry);
    if (one.search !== undefined) [search, searchFile] = [one.search, file];
    shortNameMode = one.shortNameMode ?? shortNameMode;
    if ((one.credentialHelpers ?? []).length > 0) credentialHelpers = one.credentialHelpers ?? credentialHelpers;
  }
  return {
    registries: [...registries.values()].sort((a, b) => (a.prefix < b.prefix ? -1 : 1)),
    search,
    searchFile,
    shortNameMode,
    aliases,
    credentialHelpers,
    files: read.map(([file]) => file),
    oldFiles: read.filter(([, { version }]) => version === 1).map(([file]) => file),
  };
}
