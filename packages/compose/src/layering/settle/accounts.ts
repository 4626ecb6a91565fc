import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { settleAccounts } from '../../postprocess/accounts.ts';
import { inTree, readInTree } from '../../tree-files.ts';
import type { LayerSpace } from '../space.ts';

const FILES = ['passwd', 'group'] as const;
const nameOf = (line: string): string => line.slice(0, line.indexOf(':'));
/** People's accounts begin at 1000 (login.defs(5)); packages make others. */
const isSystem = (line: string): boolean => Number(line.split(':')[2]) < 1000;
const linesOf = (text: string): string[] => text.split('\n').filter((line) => line !== '');

/** Accounts of the machine that the base does not know, by name. */
export type LentAccounts = Record<(typeof FILES)[number], ReadonlyMap<string, string>>;

/**
 * Lends the tree the machine's own accounts while packages are installed: their numbers are taken, and an account that a
 * package made the last time keeps its number, which files in /var belong to.
 */
export function lendAccounts(space: LayerSpace, etc: string | undefined): LentAccounts {
  const lent: LentAccounts = { passwd: new Map(), group: new Map() };
  if (etc === undefined) return lent;
  for (const file of FILES) {
    const own = readInTree(space.root, `etc/${file}`);
    if (own === undefined || !existsSync(join(etc, file))) continue;
    const names = new Set(linesOf(own).map(nameOf));
    const more = linesOf(readFileSync(join(etc, file), 'utf8')).filter((line) => !names.has(nameOf(line)));
    if (more.length === 0) continue;
    lent[file] = new Map(more.map((line) => [nameOf(line), line]));
    writeFileSync(inTree(space.root, `etc/${file}`), `${[...linesOf(own), ...more].join('\n')}\n`);
  }
  return lent;
}

/**
 * Takes the lent accounts back but those that `wanted` says packages of this layer make, and declares all that are new to
 * systemd-sysusers.
 */
export function takeAccountsBack(space: LayerSpace, lent: LentAccounts, wanted: (name: string) => boolean): void {
  const { root } = space;
  for (const file of FILES) {
    const now = readInTree(root, `etc/${file}`);
    if (now === undefined || lent[file].size === 0) continue;
    const kept = linesOf(now).filter(
      (line) => !lent[file].has(nameOf(line)) || (isSystem(line) && wanted(nameOf(line))),
    );
    writeFileSync(inTree(root, `etc/${file}`), `${kept.join('\n')}\n`);
    // An account has a line in each, a locked password in these.
    const secret = file === 'passwd' ? 'shadow' : 'gshadow';
    const secrets = readInTree(root, `etc/${secret}`);
    if (secrets === undefined) continue;
    const has = new Set(linesOf(secrets).map(nameOf));
    const missing = kept.map(nameOf).filter((name) => lent[file].has(name) && !has.has(name));
    if (missing.length === 0) continue;
    const rest = file === 'passwd' ? '!*:::::::' : '!*::';
    writeFileSync(
      inTree(root, `etc/${secret}`),
      `${[...linesOf(secrets), ...missing.map((name) => `${name}:${rest}`)].join('\n')}\n`,
    );
  }
  for (const name of ['passwd', 'group', 'shadow', 'gshadow']) inTree(root, `etc/${name}`);
  inTree(root, 'usr/lib/sysusers.d/00-atomic-tree.conf');
  settleAccounts(root);
}
