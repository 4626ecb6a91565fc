import { chmodSync, lchownSync, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { lgetxattr, lsetxattr } from '@atomic/linux';
import { readInTree, writeInTree } from '../tree-files.ts';
import { type Accounts, readAccounts } from './accounts.ts';

/** Numbers that packages give to users and groups of the system (Debian policy 9.2, Fedora's UID_MIN). */
const FIRST = 100;
const LAST = 999;

/** Which numbers change: old to new. */
interface Renumbering {
  users: Map<number, number>;
  groups: Map<number, number>;
}

/**
 * Gives accounts the numbers they had in the previous tree, and keeps those that no package makes any more
 * (`preserve-passwd`): files in /var of a running host belong to numbers, not to names. Files of the tree follow.
 */
export function keepAccountNumbers(root: string, previous: Accounts): void {
  if (readInTree(root, 'etc/passwd') === undefined) return;
  const now = readAccounts(root);
  const groups = renumber(
    now.groups.map(({ name, gid }) => [name, gid]),
    previous.groups.map(({ name, gid }) => [name, gid]),
  );
  const users = renumber(
    now.users.map(({ name, uid }) => [name, uid]),
    previous.users.map(({ name, uid }) => [name, uid]),
  );
  rewrite(root, 'etc/group', (fields) => [
    fields[0] ?? '',
    fields[1] ?? '',
    mapped(groups, fields[2]),
    ...fields.slice(3),
  ]);
  rewrite(root, 'etc/passwd', (fields) => [
    fields[0] ?? '',
    fields[1] ?? '',
    mapped(users, fields[2]),
    mapped(groups, fields[3]),
    ...fields.slice(4),
  ]);
  append(
    root,
    'etc/group',
    previous.groups,
    now.groups,
    (group) => `${group.name}:x:${group.gid}:${group.members.join(',')}`,
  );
  append(root, 'etc/gshadow', previous.groups, now.groups, (group) => `${group.name}:!::${group.members.join(',')}`);
  append(
    root,
    'etc/passwd',
    previous.users,
    now.users,
    (user) => `${user.name}:x:${user.uid}:${user.gid}:${user.gecos}:${user.home}:${user.shell}`,
  );
  append(root, 'etc/shadow', previous.users, now.users, (user) => `${user.name}:!*:::::::`);
  if (users.size > 0 || groups.size > 0) chownTree(root, { users, groups }, new Set());
}

function renumber(now: [string, number][], previous: [string, number][]): Map<number, number> {
  const before = new Map(previous);
  const reserved = new Set(before.values());
  const taken = new Set([...now.map(([, id]) => id), ...reserved]);
  const changes = new Map<number, number>();
  for (const [name, id] of now) {
    const wanted = before.get(name);
    if (wanted === id) continue;
    if (wanted !== undefined) changes.set(id, wanted);
    // The number of another account: it moves.
    else if (reserved.has(id)) {
      let free = LAST;
      while (free >= FIRST && taken.has(free)) free--;
      taken.add(free);
      changes.set(id, free);
    }
  }
  return changes;
}

const mapped = (changes: ReadonlyMap<number, number>, id = ''): string => String(changes.get(Number(id)) ?? id);

function rewrite(root: string, file: string, change: (fields: string[]) => string[]): void {
  const before = readInTree(root, file);
  if (before === undefined) return;
  const lines = before.split('\n');
  const text = lines.map((line) => (line === '' ? line : change(line.split(':')).join(':'))).join('\n');
  writeInTree(root, file, text);
}

function append<T extends { name: string }>(
  root: string,
  file: string,
  previous: readonly T[],
  now: readonly T[],
  line: (one: T) => string,
): void {
  const before = readInTree(root, file);
  if (before === undefined) return;
  const known = new Set(now.map((one) => one.name));
  const gone = previous.filter((one) => !known.has(one.name));
  if (gone.length === 0) return;
  const text = before.replace(/\n*$/, '\n');
  writeInTree(root, file, text + gone.map((one) => `${line(one)}\n`).join(''));
}

/** `done`: inodes with several names, which must not get the new number of their new number. */
function chownTree(path: string, changes: Renumbering, done: Set<number>): void {
  const stat = lstatSync(path);
  if (!stat.isDirectory() && stat.nlink > 1) {
    if (done.has(stat.ino)) return;
    done.add(stat.ino);
  }
  const uid = changes.users.get(stat.uid) ?? stat.uid;
  const gid = changes.groups.get(stat.gid) ?? stat.gid;
  if (uid !== stat.uid || gid !== stat.gid) {
    // A new owner costs a file its set-user bits and its capabilities.
    const capability = stat.isFile() ? lgetxattr(path, 'security.capability') : null;
    lchownSync(path, uid, gid);
    if (!stat.isSymbolicLink()) chmodSync(path, stat.mode & 0o7777);
    if (capability !== null) lsetxattr(path, 'security.capability', capability);
  }
  if (stat.isDirectory()) for (const name of readdirSync(path)) chownTree(join(path, name), changes, done);
}
