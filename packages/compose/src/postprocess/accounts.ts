import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { AtomicError, type Checksum, type Repo, readFileAt } from '@atomic/ostree';
import { followInTree, inTree, listInTree, readInTree, writeInTree } from '../tree-files.ts';

export interface User {
  name: string;
  uid: number;
  gid: number;
  gecos: string;
  home: string;
  shell: string;
}
export interface Group {
  name: string;
  gid: number;
  members: string[];
}
export interface Accounts {
  users: User[];
  groups: Group[];
}

/** Our own file in sysusers.d. */
const FOLDER = 'usr/lib/sysusers.d';
const SNAPSHOT = '00-atomic-tree.conf';

const rows = (text: string): string[][] =>
  text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(':'));

/** The users of a passwd(5). */
export const parseUsers = (text: string): User[] =>
  rows(text).map(([name = '', , uid, gid, gecos = '', home = '', shell = '']) => ({
    name,
    uid: Number(uid),
    gid: Number(gid),
    gecos,
    home,
    shell,
  }));

/** The groups of a group(5). */
export const parseGroups = (text: string): Group[] =>
  rows(text).map(([name = '', , gid, members = '']) => ({
    name,
    gid: Number(gid),
    members: members.split(',').filter(Boolean),
  }));

/** The users and groups of a tree. */
export function readAccounts(root: string): Accounts {
  // A tree that has its final shape keeps its defaults of /etc below /usr.
  const text = (file: string): string => readInTree(root, file) ?? readInTree(root, `usr/${file}`) ?? '';
  return { users: parseUsers(text('etc/passwd')), groups: parseGroups(text('etc/group')) };
}

function committedText(repo: Repo, commit: Checksum, path: string): string {
  try {
    return readFileAt(repo, commit, path).toString();
  } catch (error) {
    if (error instanceof AtomicError && error.code === 'not-found') return '';
    throw error;
  }
}

/** Those of a commit: its defaults of /etc, and what rpm-ostree keeps apart in /usr/lib; null where it has none. */
export function committedAccounts(repo: Repo, commit: Checksum): Accounts | null {
  const text = (name: string): string =>
    ['usr/etc', 'usr/lib'].map((folder) => committedText(repo, commit, `/${folder}/${name}`)).join('\n');
  const accounts = { users: parseUsers(text('passwd')), groups: parseGroups(text('group')) };
  return accounts.users.length + accounts.groups.length === 0 ? null : accounts;
}

/**
 * sysusers.d(5) lines that make these accounts with these very numbers. /etc/passwd of a running host stays as its
 * administrator left it, so accounts a later version brings can only come this way.
 */
export function sysusersLines({ users, groups }: Accounts, declared: ReadonlySet<string> = new Set()): string[] {
  const quoted = (text: string): string =>
    text === '' ? '-' : `"${text.replace(/["\\]/g, '\\$&').replaceAll('%', '%%')}"`;
  const groupName = new Map(groups.map((group) => [group.gid, group.name]));
  const lines = groups.filter((g) => !declared.has(`g ${g.name} ${g.gid}`)).map((g) => `g ${g.name} ${g.gid}`);
  for (const user of users) {
    if (declared.has(`u ${user.name} ${user.uid}`)) continue;
    const numbers =
      groupName.get(user.gid) === user.name && user.uid === user.gid ? `${user.uid}` : `${user.uid}:${user.gid}`;
    const shell = user.shell === '' ? '-' : user.shell;
    lines.push(`u ${user.name} ${numbers} ${quoted(user.gecos)} ${user.home === '' ? '-' : user.home} ${shell}`);
  }
  for (const group of groups) for (const member of group.members) lines.push(`m ${member} ${group.name}`);
  return lines;
}

/** "u NAME NUMBER" and "g NAME NUMBER" of every account the tree's packages declare with a fixed number. */
function declaredAccounts(root: string): Set<string> {
  const declared = new Set<string>();
  for (const name of listInTree(root, FOLDER)) {
    if (name === SNAPSHOT) continue;
    const text = readInTree(root, followInTree(root, `${FOLDER}/${name}`) ?? '') ?? '';
    for (const [, kind, account, uid, gid] of text.matchAll(/^([ug])!?\s+(\S+)\s+(\d+)(?::(\d+))?/gm)) {
      declared.add(`${kind} ${account} ${uid}`);
      if (kind === 'u' && gid === undefined) declared.add(`g ${account} ${uid}`);
    }
  }
  return declared;
}

/**
 * Fixes what useradd and passwd leave behind: no day of the last password change (it would be the day of the compose),
 * no backups, no locks; writes the sysusers.d snapshot.
 */
export function settleAccounts(root: string): void {
  const shadow = readInTree(root, 'etc/shadow');
  if (shadow !== undefined) {
    const lines = shadow.split('\n').map((line) => {
      const fields = line.split(':');
      if (fields.length >= 3) fields[2] = '';
      return fields.join(':');
    });
    writeInTree(root, 'etc/shadow', lines.join('\n'));
  }
  for (const name of ['passwd-', 'group-', 'shadow-', 'gshadow-', 'subuid-', 'subgid-', '.pwd.lock'])
    rmSync(join(inTree(root, 'etc'), name), { force: true });
  const accounts = readAccounts(root);
  if (accounts.users.length === 0 && accounts.groups.length === 0) return;
  const text = [
    '# The accounts this tree was composed with, so that a host upgraded to it gets those it lacks.',
    ...sysusersLines(accounts, declaredAccounts(root)),
  ];
  writeInTree(root, `${FOLDER}/${SNAPSHOT}`, `${text.join('\n')}\n`);
}
