import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mergeAccounts } from './accounts.ts';

const root = 'root:x:0:0:root:/root:/bin/bash';
const user = (name: string, id: number, gid = id) => `${name}:x:${id}:${gid}::/:/usr/sbin/nologin`;
const lines = (...text: string[]) => `${text.join('\n')}\n`;

test('users and groups of the new tree appear in files edited here; what is here stays', () => {
  const before = {
    passwd: lines(root, user('old', 101)),
    group: lines('root:x:0:', 'old:x:101:'),
    shadow: lines('root:*:1::::::'),
  };
  const current = {
    passwd: lines(root.replace('bash', 'zsh'), '# mine', user('me', 1000), '+nis'),
    group: lines('root:x:0:', 'old:x:101:me', 'me:x:1000:'),
    shadow: lines('root:secret:1::::::'),
  };
  const fresh = {
    passwd: lines(root, user('old', 101), user('new', 102)),
    group: lines('root:x:0:', 'old:x:101:new', 'new:x:102:'),
    shadow: lines('root:*:1::::::', 'new:!:2::::::'),
  };
  const { texts, report } = mergeAccounts(before, current, fresh);
  assert.deepEqual(texts, {
    group: lines('root:x:0:', 'old:x:101:me,new', 'me:x:1000:', 'new:x:102:'),
    passwd: lines(root.replace('bash', 'zsh'), '# mine', user('me', 1000), user('new', 102), '+nis'),
    shadow: lines('root:secret:1::::::', 'new:!:2::::::'),
  });
  assert.deepEqual(report, { added: ['member new of old', 'group new', 'user new'], conflicts: [] });
  const again = mergeAccounts(fresh, { ...current, ...texts }, fresh);
  assert.deepEqual(again, { texts: {}, report: { added: [], conflicts: [] } }, 'the user removed here stays away');
});

test('a number that is taken here is not given out twice', () => {
  const current = { passwd: lines(root, user('me', 102)), group: lines('root:x:0:', 'mine:x:200:'), shadow: '' };
  const fresh = {
    passwd: lines(root, user('new', 102), user('other', 103, 200), user('fine', 104)),
    group: lines('root:x:0:', 'other:x:200:', 'fine:x:104:'),
    shadow: lines('new:!:2::::::', 'other:!:2::::::', 'fine:!:2::::::'),
  };
  const { texts, report } = mergeAccounts({ passwd: lines(root), group: lines('root:x:0:') }, current, fresh);
  assert.deepEqual(report.conflicts, [
    { file: 'group', name: 'other', id: '200', heldBy: 'mine' },
    { file: 'passwd', name: 'new', id: '102', heldBy: 'me' },
    { file: 'passwd', name: 'other', id: '103', heldBy: 'another group (gid 200)' },
  ]);
  assert.deepEqual(report.added, ['group fine', 'user fine']);
  assert.equal(texts.shadow, lines('fine:!:2::::::'));
});

test('lines that are no accounts are passed over', () => {
  const fresh = { passwd: lines('a:b', ':x:1:1:::', '+:::::::', 'x'.repeat(9000)), group: '::::::\n' };
  assert.deepEqual(mergeAccounts({}, { passwd: lines(root), group: '' }, fresh).texts, {});
});
