import assert from 'node:assert/strict';
import {
  chmodSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { AtomicError } from '@atomic/ostree';
import { emptyTreefile } from '../treefile/load-treefile.ts';
import type { Treefile } from '../treefile/treefile.ts';
import { checkAccounts } from './account-check.ts';
import { keepAccountNumbers } from './account-numbers.ts';
import { parseGroups, parseUsers, readAccounts } from './accounts.ts';

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'atomic-accounts-'));
  mkdirSync(join(root, 'etc'));
});
afterEach(() => rmSync(root, { recursive: true }));
const put = (file: string, lines: string[]): void => writeFileSync(join(root, 'etc', file), `${lines.join('\n')}\n`);
const get = (file: string): string => readFileSync(join(root, 'etc', file), 'utf8');
const accounts = (users: string[], groups: string[]) => ({
  users: parseUsers(users.join('\n')),
  groups: parseGroups(groups.join('\n')),
});

describe('accounts keep their numbers from one commit to the next', () => {
  const previous = accounts(
    ['root:x:0:0:root:/root:/bin/sh', 'web:x:101:101::/var/www:/bin/false', 'gone:x:102:102::/:/bin/false'],
    ['root:x:0:', 'web:x:101:', 'gone:x:102:web'],
  );
  const fill = (): void => {
    // Installed in another order: 101 is somebody else now.
    put('passwd', [
      'root:x:0:0:root:/root:/bin/sh',
      'new:x:101:101::/:/bin/false',
      'web:x:102:102::/var/www:/bin/false',
    ]);
    put('group', ['root:x:0:', 'new:x:101:', 'web:x:102:']);
    put('shadow', ['root:*:::::::', 'new:!:::::::', 'web:!:::::::']);
  };

  test('numbers are the former ones, newcomers make room, those that are gone stay', () => {
    fill();
    keepAccountNumbers(root, previous);
    const { users, groups } = readAccounts(root);
    assert.deepEqual(
      users.map(({ name, uid, gid }) => [name, uid, gid]),
      [
        ['root', 0, 0],
        ['new', 999, 999],
        ['web', 101, 101],
        ['gone', 102, 102],
      ],
    );
    assert.deepEqual(
      groups.map(({ name, gid, members }) => [name, gid, members]),
      [
        ['root', 0, []],
        ['new', 999, []],
        ['web', 101, []],
        ['gone', 102, ['web']],
      ],
    );
    assert.match(get('shadow'), /^gone:!\*:::::::$/m);
    checkAccounts(root, emptyTreefile(), previous);
    const before = get('passwd');
    keepAccountNumbers(root, readAccounts(root));
    assert.equal(get('passwd'), before, 'nothing to do is nothing done');
  });

  test('files follow, with their set-user bits', { skip: process.getuid?.() === 0 ? false : 'needs root' }, () => {
    fill();
    for (const [name, id] of [
      ['a', 101],
      ['b', 102],
    ] as const) {
      writeFileSync(join(root, name), '');
      lchownSync(join(root, name), id, id);
      chmodSync(join(root, name), 0o4755);
    }
    linkSync(join(root, 'b'), join(root, 'second'));
    keepAccountNumbers(root, previous);
    for (const [name, id] of [
      ['a', 999],
      ['b', 101],
      ['second', 101],
    ] as const) {
      const { uid, gid, mode } = lstatSync(join(root, name));
      assert.deepEqual([uid, gid, mode & 0o7777], [id, id, 0o4755], name);
    }
  });
});

describe('accounts are compared with what a treefile says', () => {
  const treefile = (more: Partial<Treefile>): Treefile => ({ ...emptyTreefile(), ...more });
  const fails = (more: Partial<Treefile>, message: RegExp, previous: ReturnType<typeof accounts> | null = null): void =>
    assert.throws(
      () => checkAccounts(root, treefile(more), previous),
      (error) => error instanceof AtomicError && message.test(error.message),
    );
  beforeEach(() => {
    put('passwd', ['root:x:0:0::/root:/bin/sh', 'adm:x:3:4::/:/bin/false']);
    put('group', ['root:x:0:', 'adm:x:4:']);
  });

  test('data, file, previous, none; what may be missing', () => {
    checkAccounts(root, treefile({ checkPasswd: { type: 'data', entries: { root: 0, adm: [3, 4] } } }), null);
    checkAccounts(root, treefile({ checkPasswd: { type: 'data', entries: { root: [0] } } }), null);
    fails(
      { checkPasswd: { type: 'data', entries: { adm: 3 } } },
      /user 'adm' of the tree has the number 3:4, but 'check-passwd' asks for 3:3/,
    );
    fails(
      { checkGroups: { type: 'data', entries: { adm: 5 } } },
      /group 'adm' of the tree has the number 4, but 'check-groups' asks for 5/,
    );
    fails(
      { checkGroups: { type: 'file', path: 'group', text: 'other:x:7:\n' } },
      /has no group 'other', which 'check-groups' asks for/,
    );
    const before = accounts(['gone:x:9:9::/:'], ['adm:x:4:']);
    fails({}, /has no user 'gone'/, before);
    checkAccounts(root, treefile({ ignoreRemovedUsers: ['gone'] }), before);
    checkAccounts(root, treefile({ ignoreRemovedUsers: ['*'] }), before);
    checkAccounts(root, treefile({ checkPasswd: { type: 'none' } }), before);
  });
});
