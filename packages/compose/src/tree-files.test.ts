import assert from 'node:assert/strict';
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { lsetxattr, readXattrs } from '@atomic/linux';
import { inTree, removeInTree, writeInTree } from './tree-files.ts';

let work = '';
let root = '';
let host = '';
beforeEach(() => {
  work = mkdtempSync(join(tmpdir(), 'atomic-files-'));
  root = join(work, 'root');
  host = join(work, 'host');
  mkdirSync(join(root, 'etc'), { recursive: true });
  writeFileSync(host, "the host's");
});
afterEach(() => rmSync(work, { recursive: true }));

test('a link on the way is refused, by its name', () => {
  symlinkSync(work, join(root, 'var'));
  assert.throws(() => inTree(root, 'var/host'), { code: 'invalid', message: /put a link at \/var,/ });
  assert.throws(() => writeInTree(root, 'var/host', 'x'), /put a link at \/var,/);
  assert.equal(readFileSync(host, 'utf8'), "the host's");
});

test('the tree itself may be reached by a link; a label stays with its file', {
  skip: process.geteuid?.() !== 0 && 'needs root',
}, () => {
  symlinkSync(root, join(work, 'link'));
  writeInTree(join(work, 'link'), 'file', 'x');
  const label = Buffer.from('system_u:object_r:shadow_t:s0\0');
  lsetxattr(join(root, 'file'), 'security.selinux', label);
  writeInTree(root, 'file', 'y');
  const kept = readXattrs(join(root, 'file')).map(({ name, value }) => [String(name), Buffer.from(value)]);
  assert.deepEqual(kept, [['security.selinux', label]]);
});

test('what is removed is of the tree: a link, and nothing past one', () => {
  symlinkSync(work, join(root, 'var'));
  assert.throws(() => removeInTree(root, 'var/host'), /put a link at \/var,/);
  removeInTree(root, 'var');
  assert.equal(lstatSync(join(root, 'var'), { throwIfNoEntry: false }), undefined);
  removeInTree(root, 'var/none');
  assert.equal(readFileSync(host, 'utf8'), "the host's");
});

test('what is written takes the place of a link or of one of several names, and keeps its mode', () => {
  symlinkSync(host, join(root, 'etc/link'));
  linkSync(host, join(root, 'etc/name'));
  writeInTree(root, 'etc/link', 'new');
  writeInTree(root, 'etc/name', 'new');
  assert.equal(readFileSync(join(root, 'etc/link'), 'utf8'), 'new');
  assert.equal(readFileSync(host, 'utf8'), "the host's");
  chmodSync(join(root, 'etc/name'), 0o600);
  writeInTree(root, 'etc/name', 'newer');
  assert.equal(statSync(join(root, 'etc/name')).mode & 0o7777, 0o600);
  writeInTree(root, 'usr/lib/new', 'x', 0o755);
  assert.equal(statSync(join(root, 'usr/lib/new')).mode & 0o7777, 0o755);
  assert.throws(() => writeInTree(root, 'usr/lib', 'x'), {
    code: 'invalid',
    message: '/usr/lib of the tree is a folder, not a file',
  });
});
