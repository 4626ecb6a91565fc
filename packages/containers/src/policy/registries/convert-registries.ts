import { AtomicError } from '@atomic/ostree';
import { stringify } from 'smol-toml';
import { readSettings } from './load-registries.ts';
import { parseRegistriesFile } from './parse-registries.ts';

/** The text of a registries.conf of the old form in the new one. Throws `not-found`, `invalid`, `exists` for a new one. */
export function convertRegistries(file: string): string {
  const text = readSettings(file);
  if (text === undefined) throw new AtomicError('not-found', `${file} is not there`);
  const { search = [], registries, version } = parseRegistriesFile(text, file);
  if (version === 2) throw new AtomicError('exists', `${file} has the new form already`);
  return stringify({
    ...(search.length === 0 ? {} : { 'unqualified-search-registries': search }),
    registry: registries.map(({ location, insecure, blocked }) => ({
      location,
      ...(insecure ? { insecure } : {}),
      ...(blocked ? { blocked } : {}),
    })),
  });
}
