import { AtomicError } from '@atomic/ostree';
import type { AccountCheck, Treefile, UserNumbers } from '../treefile/treefile.ts';
import { type Accounts, parseGroups, parseUsers, readAccounts } from './accounts.ts';

/**
 * Compares a tree's accounts with those a treefile names (`check-passwd`, `check-groups`): all of them must be there
 * with the same numbers, unless they may be missing (`ignore-removed-users`, `-groups`). Throws AtomicError 'invalid'.
 */
export function checkAccounts(root: string, treefile: Treefile, previous: Accounts | null): void {
  const now = readAccounts(root);
  compare('user', treefile.checkPasswd, treefile.ignoreRemovedUsers, {
    now: new Map(now.users.map(({ name, uid, gid }) => [name, [uid, gid]])),
    previous: previous?.users.map(({ name, uid, gid }) => [name, [uid, gid]]) ?? [],
    parse: (text) => parseUsers(text).map(({ name, uid, gid }) => [name, [uid, gid]]),
    numbers: (entry: UserNumbers) => (typeof entry === 'number' ? [entry, entry] : [entry[0], entry[1] ?? entry[0]]),
  });
  compare('group', treefile.checkGroups, treefile.ignoreRemovedGroups, {
    now: new Map(now.groups.map(({ name, gid }) => [name, [gid]])),
    previous: previous?.groups.map(({ name, gid }) => [name, [gid]]) ?? [],
    parse: (text) => parseGroups(text).map(({ name, gid }) => [name, [gid]]),
    numbers: (entry: number) => [entry],
  });
}

interface Sides<Entry> {
  now: ReadonlyMap<string, number[]>;
  previous: [string, number[]][];
  parse: (text: string) => [string, number[]][];
  numbers: (entry: Entry) => number[];
}

function compare<Entry>(
  what: 'user' | 'group',
  check: AccountCheck<Entry>,
  ignored: readonly string[],
  sides: Sides<Entry>,
): void {
  const key = what === 'user' ? 'check-passwd' : 'check-groups';
  for (const [name, numbers] of wanted(check, sides)) {
    const found = sides.now.get(name);
    if (found === undefined) {
      if (ignored.includes(name) || ignored.includes('*')) continue;
      throw new AtomicError('invalid', `the tree has no ${what} '${name}', which '${key}' asks for`, {
        hint: `name it in 'ignore-removed-${what}s' if it may go`,
      });
    }
    if (found.join(':') !== numbers.join(':'))
      throw new AtomicError(
        'invalid',
        `${what} '${name}' of the tree has the number ${found.join(':')}, but '${key}' asks for ${numbers.join(':')}`,
        { hint: 'files of running hosts belong to the old number' },
      );
  }
}

function wanted<Entry>(check: AccountCheck<Entry>, sides: Sides<Entry>): [string, number[]][] {
  if (check.type === 'none') return [];
  if (check.type === 'previous') return sides.previous;
  if (check.type === 'file') return sides.parse(check.text);
  return Object.entries(check.entries).map(([name, entry]) => [name, sides.numbers(entry)]);
}
