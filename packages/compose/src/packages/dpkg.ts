import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Package } from './manager.ts';

/** Where the database lies in a finished tree; /var/lib/dpkg is a link to it, made at boot. */
export const DPKG_IN_USR = 'usr/lib/sysimage/dpkg';

/** Installed packages of a dpkg status file (deb822, dpkg(1)). */
export function parseStatus(text: string): Package[] {
  const packages: Package[] = [];
  for (const stanza of text.split(/\n\n+/)) {
    const field = (name: string): string | undefined => new RegExp(`^${name}: (.*)$`, 'm').exec(stanza)?.[1];
    const name = field('Package');
    if (name === undefined || !/ installed$/.test(field('Status') ?? '')) continue;
    packages.push({ name, version: field('Version') ?? '', architecture: field('Architecture') ?? '' });
  }
  return packages.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** Packages installed in a root. */
export function listDpkg(root: string): Package[] {
  for (const directory of [DPKG_IN_USR, 'var/lib/dpkg']) {
    const status = join(root, directory, 'status');
    if (existsSync(status)) return parseStatus(readFileSync(status, 'utf8'));
  }
  return [];
}

/** Moves dpkg's database below /usr, without locks, backups and logs, its stanzas in one order. */
export function settleDpkg(root: string): void {
  const from = join(root, 'var/lib/dpkg');
  const to = join(root, DPKG_IN_USR);
  if (!existsSync(from)) return;
  mkdirSync(join(root, 'usr/lib/sysimage'), { recursive: true });
  renameSync(from, to);
  for (const name of readdirSync(to)) {
    if (name.endsWith('-old') || name.startsWith('lock') || name === 'available' || name === 'cmethopt')
      rmSync(join(to, name));
  }
  rmSync(join(to, 'triggers/Lock'), { force: true });
  for (const name of ['updates', 'parts']) {
    rmSync(join(to, name), { recursive: true, force: true });
    if (name === 'updates') mkdirSync(join(to, name));
  }
  const status = join(to, 'status');
  const stanzas = readFileSync(status, 'utf8')
    .split(/\n\n+/)
    .filter((s) => s.trim() !== '')
    .map((s) => s.trim());
  const key = (s: string): string =>
    `${/^Package: (.*)$/m.exec(s)?.[1] ?? ''} ${/^Architecture: (.*)$/m.exec(s)?.[1] ?? ''}`;
  stanzas.sort((a, b) => (key(a) < key(b) ? -1 : 1));
  writeFileSync(status, stanzas.map((s) => `${s}\n\n`).join(''));
}
