import { chownSync, cpSync, lstatSync, mkdirSync, readlinkSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { followInTree, inTree, listInTree, readInTree, writeInTree } from '../tree-files.ts';
import { type Accounts, readAccounts } from './accounts.ts';

/** What lies in /var of a fresh root and is made anew when needed: caches, logs, locks, registries of the moment. */
const DROPPED = [
  'cache/apt',
  'cache/debconf',
  'cache/ldconfig',
  'cache/man',
  'lib/apt/lists',
  'lib/dpkg',
  'lib/dbus/machine-id',
  'lib/systemd/random-seed',
  'lib/systemd/catalog',
  'lib/systemd/deb-systemd-helper-enabled',
  'lib/systemd/deb-systemd-helper-masked',
  'lib/systemd/deb-systemd-user-helper-enabled',
  'lib/ucf/cache',
  'backups',
  'tmp',
];

/** Octal escapes, as tmpfiles.d(5) reads them, for the characters that end a field there. */
export const escapePath = (path: string): string =>
  path.replace(/[\s"'\\%]/g, (c) => (c === '%' ? '%%' : `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`));

/** Paths the tree's own tmpfiles.d already makes: theirs are the better lines. */
export function declaredPaths(root: string): Set<string> {
  const paths = new Set<string>();
  for (const directory of ['usr/lib/tmpfiles.d', 'etc/tmpfiles.d']) {
    for (const name of listInTree(root, directory)) {
      if (!name.endsWith('.conf')) continue;
      const file = followInTree(root, `${directory}/${name}`);
      const text = file === undefined ? undefined : readInTree(root, file);
      for (const line of text?.split('\n') ?? []) {
        const match = /^[dDvqQLfFC][+!=~^-]*\s+(\/\S+)/.exec(line);
        if (match?.[1] !== undefined) paths.add(match[1].replace(/\/$/, ''));
      }
    }
  }
  return paths;
}

/**
 * The lines of tmpfiles.d(5) that make the content of a tree's /var again on a host: directories and links as they are;
 * files come from a copy under /usr/share/factory, made here. Returns the lines in path order.
 */
export function varToTmpfiles(root: string, accounts: Accounts, declared: ReadonlySet<string>): string[] {
  const userName = new Map(accounts.users.map((user) => [user.uid, user.name]));
  const groupName = new Map(accounts.groups.map((group) => [group.gid, group.name]));
  const lines: string[] = [];
  const walk = (path: string): void => {
    for (const name of listInTree(root, `var/${path}`)) {
      const below = path === '' ? name : `${path}/${name}`;
      if (DROPPED.includes(below)) continue;
      const full = join(root, 'var', below);
      const stat = lstatSync(full);
      const mode = (stat.mode & 0o7777).toString(8).padStart(4, '0');
      const owner = `${userName.get(stat.uid) ?? stat.uid} ${groupName.get(stat.gid) ?? stat.gid}`;
      const target = escapePath(`/var/${below}`);
      if (stat.isDirectory()) {
        if (!declared.has(`/var/${below}`)) lines.push(`d ${target} ${mode} ${owner} - -`);
        walk(below);
      } else if (declared.has(`/var/${below}`)) {
        // made by the line of its own package
      } else if (stat.isSymbolicLink()) {
        lines.push(`L ${target} - - - - ${escapePath(readlinkSync(full))}`);
      } else if (stat.isFile() && !below.startsWith('log/')) {
        const factory = inTree(root, `usr/share/factory/var/${below}`);
        mkdirSync(dirname(factory), { recursive: true });
        cpSync(full, factory, { preserveTimestamps: true });
        chownSync(factory, stat.uid, stat.gid);
        lines.push(`C ${target} ${mode} ${owner} - -`);
      }
    }
  };
  walk('');
  return lines;
}

/** Empties /var; what a host needs of it is made at boot. Call after everything that reads or writes /var. */
export function emptyVar(root: string): void {
  const lines = varToTmpfiles(root, readAccounts(root), declaredPaths(root));
  // "zz": lines of packages come first, and the first line for a path is the one that counts.
  const text = ['# What packages had in /var when the tree was composed.', ...lines];
  writeInTree(root, 'usr/lib/tmpfiles.d/zz-atomic-var.conf', `${text.join('\n')}\n`);
  for (const name of listInTree(root, 'var')) rmSync(join(inTree(root, 'var'), name), { recursive: true, force: true });
}
