import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { commitTree, Repo } from '@atomic/ostree';
import { checkConfig } from './check-config.ts';
import { parseInstallConfig } from './config.ts';
import { findDisk } from './find-disk.ts';
import { readMediumTree } from './install-disk.ts';

const folder = mkdtempSync(join(tmpdir(), 'atomic-check-config-'));
after(() => rmSync(folder, { recursive: true }));

test('accounts and files that a tree cannot get are refused before anything is lost', async () => {
  const etc = join(folder, 'tree/usr/etc');
  mkdirSync(join(etc, 'folder'), { recursive: true });
  writeFileSync(join(etc, 'passwd'), 'root:x:0:0::/root:/bin/sh\n');
  writeFileSync(join(etc, 'group'), 'root:x:0:\nsudo:x:27:\n');
  symlinkSync('/run/somewhere', join(etc, 'linked'));
  const repo = Repo.create(join(folder, 'repo'), { mode: 'bare-user' });
  const { commit } = await commitTree(repo, { trees: [{ dir: join(folder, 'tree') }], branch: 'os' });
  const check = (text: string) => checkConfig(repo, commit, 'os', parseInstallConfig(text, 'install.yaml'));
  check('users: [{ name: ada, groups: [sudo] }, { name: bob, groups: [ada] }]');
  assert.throws(() => check('users: [{ name: ada, groups: [wheel] }]'), /os has no group wheel for ada/);
  assert.throws(() => check('users: [{ name: ada, groups: [ada] }]'), /has no group ada for ada/);
  assert.throws(() => check('users: [{ name: root }]'), { message: /has a user root/, hint: /with the key 'root'/ });
  assert.throws(() => check('users: [{ name: sudo }]'), /has a group sudo/);
  assert.throws(() => check('users: [{ name: ada }, { name: ada }]'), /user ada/);
  check('files: [{ path: /etc/linked, content: x }, { path: /etc/new/file, content: x }]');
  assert.throws(() => check('files: [{ path: /etc/linked/file, content: x }]'), /what it is below is a link or a file/);
  assert.throws(() => check('files: [{ path: /etc/folder, content: x }]'), /that is a folder/);
});

test('only a whole disk is a disk', () => {
  assert.throws(() => findDisk('/dev/null', undefined), { code: 'invalid', message: '/dev/null is no disk' });
  assert.throws(() => findDisk('/dev/no-such-disk', undefined), { code: 'not-found' });
  const names = readdirSync('/sys/class/block').filter((name) => existsSync(`/dev/${name}`));
  for (const name of names.filter((one) => existsSync(`/sys/class/block/${one}/partition`)))
    assert.throws(() => findDisk(`/dev/${name}`, undefined), /is no disk, but a partition of one/);
  for (const name of names.filter((one) => existsSync(`/sys/block/${one}`)))
    assert.equal(findDisk(`/dev/${name}`, undefined).device, `/dev/${name}`);
});

test('a medium says which tree it installs, and what its kernel needs', () => {
  assert.throws(() => readMediumTree(folder), { code: 'not-found', message: /no installation medium/ });
  mkdirSync(join(folder, 'install'));
  const write = (text: string): void => writeFileSync(join(folder, 'install/tree.json'), text);
  write('{"ref":"os","kernel-arguments":["rw"]}');
  assert.deepEqual(readMediumTree(folder), { ref: 'os', 'kernel-arguments': ['rw'] });
  for (const text of ['{}', 'x']) {
    write(text);
    assert.throws(() => readMediumTree(folder), { code: 'corrupt' });
  }
});
