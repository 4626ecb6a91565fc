import { debPackage, type InstalledPackage } from '../package.ts';
import { printable } from '../printable.ts';

/** Where dpkg's database is, in a finished tree and in one being made. */
export const DPKG_FOLDERS = ['usr/lib/sysimage/dpkg', 'var/lib/dpkg'] as const;

/** Stanzas of a deb822 file; each is its lines. */
export const stanzasOf = (text: string): string[] =>
  text
    .split(/\n(?:[ \t]*\n)+/)
    .map((stanza) => stanza.trim())
    .filter((stanza) => stanza !== '');

/** The fields of a stanza, names in lower case as they are compared; of a field of several lines only the first. */
export function fieldsOf(stanza: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of stanza.split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0 && !/^\s/.test(line)) fields.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  return fields;
}

/** Packages that are installed according to a dpkg status file (deb822, dpkg(1)); those half-installed or removed are not. */
export function parseDpkgStatus(text: string): InstalledPackage[] {
  const packages: InstalledPackage[] = [];
  for (const stanza of stanzasOf(printable(text))) {
    const fields = fieldsOf(stanza);
    const name = fields.get('package');
    if (name === undefined || !/ installed$/.test(fields.get('status') ?? '')) continue;
    // `Source: NAME (VERSION)`, where the source is of another version.
    const source = /^\S+/.exec(fields.get('source') ?? '')?.[0];
    packages.push(debPackage(name, fields.get('version') ?? '', fields.get('architecture') ?? '', source));
  }
  return packages;
}
