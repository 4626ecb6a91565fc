import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { folderInTree, inTree } from '../tree-files.ts';

/** Where the database lies in a finished tree; /var/lib/dpkg is a link to it, made at boot. */
export const DPKG_IN_USR = 'usr/lib/sysimage/dpkg';

/** Moves dpkg's database below /usr, without locks, backups and logs, its stanzas in one order. */
export function settleDpkg(root: string): void {
  const from = inTree(root, 'var/lib/dpkg');
  const to = inTree(root, DPKG_IN_USR);
  if (!existsSync(from)) return;
  folderInTree(root, dirname(DPKG_IN_USR));
  renameSync(from, to);
  for (const name of ['status', 'triggers']) inTree(root, `${DPKG_IN_USR}/${name}`);
  cleanDpkg(to);
}

/** Drops locks, backups and logs from dpkg's database, and puts its stanzas in one order. */
export function cleanDpkg(to: string): void {
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
