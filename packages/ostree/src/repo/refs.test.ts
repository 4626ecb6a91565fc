import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { commitFiles, scratchFolder, testRepo } from '../test-repo.ts';
import { parseRefspec, validateCollectionId, validateRefName } from './ref-name.ts';
import { listAliases, listCollectionRefs, writeAlias } from './refs.ts';
import { Repo } from './repo.ts';
import { commitsBeginning } from './resolve-rev.ts';

const scratch = scratchFolder('refs');
const a = 'a'.repeat(64);
const b = 'b'.repeat(64);

test('refs are listed by prefix, whole or cut, and what is no ref is passed over', () => {
  const repo = testRepo(scratch);
  for (const ref of ['os/x86/stable', 'os/x86/dev', 'os2', 'origin:os/x86/stable', 'other:x']) repo.setRef(ref, a);
  writeFileSync(join(repo.path, 'refs/heads/.rsync'), 'junk');
  writeFileSync(join(repo.path, 'refs/heads/os/.rsync'), 'junk');
  const list = (options: Parameters<typeof repo.listRefs>[0]) => [...repo.listRefs(options).keys()];
  assert.deepEqual(list({}), ['origin:os/x86/stable', 'os/x86/dev', 'os/x86/stable', 'os2', 'other:x']);
  assert.deepEqual(list({ remotes: false }), ['os/x86/dev', 'os/x86/stable', 'os2']);
  assert.deepEqual(list({ prefix: 'os' }), ['os/x86/dev', 'os/x86/stable']);
  assert.deepEqual(list({ prefix: 'os', cut: true }), ['x86/dev', 'x86/stable']);
  assert.deepEqual(list({ prefix: 'os/x86/dev', cut: true }), ['os/x86/dev']);
  assert.deepEqual(list({ prefix: 'origin:' }), ['origin:os/x86/stable']);
  assert.deepEqual(list({ prefix: 'origin:.' }), ['origin:os/x86/stable']);
  assert.deepEqual(list({ prefix: 'origin:os', cut: true }), ['origin:x86/stable']);
  assert.deepEqual(list({ prefix: 'nothing' }), []);
  assert.throws(() => list({ prefix: '../remotes' }), /Invalid refspec/);
});

test('aliases follow their ref wherever it goes', () => {
  const repo = testRepo(scratch);
  repo.setRef('os/26/server', a);
  writeAlias(repo, 'os/stable/server', 'os/26/server');
  assert.equal(readlinkSync(join(repo.path, 'refs/heads/os/stable/server')), '../../os/26/server');
  assert.deepEqual([...listAliases(repo)], [['os/stable/server', 'os/26/server']]);
  repo.setRef('os/26/server', b);
  assert.equal(repo.readRef('os/stable/server'), b);
  writeAlias(repo, 'os/stable/server', 'os/27/server');
  assert.equal(repo.readRef('os/stable/server'), null);
  assert.deepEqual([...repo.listRefs().keys()], ['os/26/server']);
  assert.deepEqual([...listAliases(repo, 'os/26')], []);
  assert.throws(() => writeAlias(repo, '../x', 'os/26/server'), /Invalid ref name/);
  assert.throws(() => writeAlias(repo, 'x', '../../config'), /Invalid ref name/);
});

test('a ref cannot be the folder of another; folders that are left empty are no hindrance', () => {
  const repo = testRepo(scratch);
  repo.setRef('foo/bar', a);
  assert.throws(() => repo.setRef('foo', a), { code: 'exists', message: /Conflict: bar exists under foo/ });
  assert.throws(() => repo.setRef('foo/bar/baz', a), { code: 'exists' });
  repo.setRef('foo/bar', null);
  repo.setRef('foo', a);
  mkdirSync(join(repo.path, 'refs/heads/left/over'), { recursive: true });
  repo.setRef('left', a);
  assert.equal(repo.readRef('left'), a);
  assert.throws(() => repo.setRef(a, a), /looks like a checksum/);
});

test('names that would leave their folder are refused', () => {
  for (const name of ['', '.', '..', '../x', 'a/../b', '/a', 'a/', 'a//b', '.a', '-a', 'a\nb', 'a b', 'a:b']) {
    assert.throws(() => validateRefName(name), { code: 'invalid' }, JSON.stringify(name));
  }
  for (const name of ['a', 'a.b/c-d_e', 'ü/1', '0']) assert.equal(validateRefName(name), name);
  for (const spec of ['..:a', 'a/b:c', ':a', 'a:', 'a:b:c']) {
    assert.throws(() => parseRefspec(spec), /Invalid refspec/, spec);
  }
  for (const id of ['', 'org', '.org.x', 'org.', 'org..x', 'org.1x', 'org/x.y', '../x.y', `org.${'x'.repeat(255)}`]) {
    assert.throws(() => validateCollectionId(id), /Invalid collection ID/, id);
  }
  assert.equal(validateCollectionId('org.example.Os_1'), 'org.example.Os_1');
});

test('refs of collections: own ones are plain refs, others are mirrored, remotes have theirs', () => {
  const repo = testRepo(scratch, { collectionId: 'org.example.Own' });
  repo.setRef({ collectionId: 'org.example.Own', ref: 'os' }, a);
  repo.setRef({ collectionId: 'org.example.Other', ref: 'app/x' }, b);
  repo.config.set('remote "far"', 'url', 'http://far.example');
  repo.config.set('remote "far"', 'collection-id', 'org.example.Far');
  repo.saveConfig();
  const opened = Repo.open(repo.path);
  opened.setRef('far:z', a);
  opened.setRef('unknown:z', a);
  assert.equal(repo.readRef('os'), a);
  assert.ok(existsSync(join(repo.path, 'refs/mirrors/org.example.Other/app/x')));
  const list = (options = {}) =>
    listCollectionRefs(opened, options).map(({ collectionId, ref }) => `${collectionId} ${ref}`);
  assert.deepEqual(list(), ['org.example.Far z', 'org.example.Other app/x', 'org.example.Own os']);
  assert.deepEqual(list({ remotes: false, mirrors: false }), ['org.example.Own os']);
  assert.deepEqual(list({ collectionId: 'org.example.Far' }), ['org.example.Far z']);
  assert.throws(() => list({ collectionId: '../x' }), /Invalid collection ID/);
  opened.setRef({ collectionId: 'org.example.Other', ref: 'app/x' }, null);
  assert.deepEqual(list({ remotes: false }), ['org.example.Own os']);
  // Deleting in a collection that is not there is nothing.
  opened.setRef({ collectionId: 'org.example.None', ref: 'app/x' }, null);
});

test('revisions: checksums whole or short, parents, refs here and of remotes', async () => {
  const repo = testRepo(scratch);
  const first = await commitFiles(repo, { a: '1' }, { branch: 'main', timestamp: 1 });
  const second = await commitFiles(repo, { a: '2' }, { branch: 'main', timestamp: 2 });
  repo.setRef('origin:far', first);
  assert.equal(repo.resolveRev('main'), second);
  assert.equal(repo.resolveRev('main^'), first);
  assert.throws(() => repo.resolveRev('main^^'), /has no parent/);
  assert.equal(repo.resolveRev(a), a);
  assert.equal(repo.resolveRev('far'), first);
  assert.equal(repo.resolveRev('origin/far'), first);
  assert.throws(() => repo.resolveRev('far', { local: true }), { code: 'not-found' });
  assert.throws(() => repo.resolveRev('nope'), /Refspec 'nope' not found/);
  assert.throws(() => repo.resolveRev('a b'), /Invalid refspec/);
  assert.deepEqual(commitsBeginning(repo, '').sort(), [first, second].sort());
  assert.equal(repo.resolveRev(first.slice(0, 20)), first);
  assert.throws(() => repo.resolveRev(''), /not unique/);
});

test('an alias to what is no ref ends in an error: a device, a pipe, somebody’s file', () => {
  const repo = testRepo(scratch);
  const pipe = join(repo.path, 'pipe');
  execFileSync('mkfifo', [pipe]);
  for (const target of ['/dev/zero', '/etc/passwd', pipe]) {
    symlinkSync(target, join(repo.path, 'refs/heads/trap'));
    assert.throws(() => repo.readRef('trap'), { message: /the ref trap does not hold a checksum/ }, target);
    assert.throws(() => repo.listRefs(), { code: 'corrupt' });
    rmSync(join(repo.path, 'refs/heads/trap'));
  }
});

test('a damaged ref is told from a missing one', () => {
  const repo = testRepo(scratch);
  writeFileSync(join(repo.path, 'refs/heads/bad'), 'x'.repeat(64));
  assert.throws(() => repo.readRef('bad'), { code: 'corrupt' });
  writeFileSync(join(repo.path, 'refs/heads/good'), `${a}\n`);
  assert.equal(readFileSync(join(repo.path, 'refs/heads/good'), 'utf8').trim(), repo.readRef('good'));
});
