import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Checksum } from '../objects/checksum.ts';
import { partialReason } from '../repo/commit-state.ts';
import type { Repo } from '../repo/repo.ts';
import { commitFiles, scratchFolder, testRepo } from '../test-repo.ts';
import { type FsckEvent, fsck } from './fsck.ts';

const scratch = scratchFolder('fsck');
const fileOf = (repo: Repo, commit: Checksum, name: string): Checksum =>
  repo.loadDirTree(repo.loadCommit(commit).tree).files.find((file) => file.name === name)?.checksum ?? '';

test('a missing object names the commits it belongs to, and marks them', async () => {
  const repo = testRepo(scratch);
  const shared = { 'd/e/shared': 'shared', other: 'x' };
  const first = await commitFiles(repo, { ...shared, own: '1' }, { branch: 'a' });
  const second = await commitFiles(repo, { ...shared, own: '2' }, { branch: 'b' });
  const third = await commitFiles(repo, { unrelated: '3' }, { branch: 'c' });
  const d = repo.loadDirTree(repo.loadCommit(first).tree).dirs[0]?.tree ?? '';
  const victim = repo.loadDirTree(repo.loadDirTree(d).dirs[0]?.tree ?? '').files[0]?.checksum ?? '';
  rmSync(repo.objectPath('file', victim));
  const events: FsckEvent[] = [];
  const result = await fsck(repo, { mark: true, stop: true, onEvent: (event) => events.push(event) });
  const [problem] = result.problems;
  assert.deepEqual(problem?.commits.toSorted(), [first, second].sort());
  assert.match(problem?.message ?? '', /^Object missing in commits [0-9a-f, ]+: [0-9a-f]{64}\.file$/);
  assert.equal(result.problems.length, 1);
  assert.deepEqual(
    [first, second, third].map((commit) => partialReason(repo, commit)),
    ['fsck', 'fsck', null],
  );
  assert.deepEqual(
    events.map(({ kind }) => kind),
    ['refs', 'collections', 'commits', 'content', 'problem', 'partial', 'partial'],
  );
  const again = await fsck(repo);
  assert.deepEqual([again.commits, again.partial, again.fsckPartial, again.problems], [1, 2, 2, []]);
});

test('damaged content stops the check, or is deleted, or is listed with the rest', async () => {
  const repo = testRepo(scratch);
  const commit = await commitFiles(repo, { a: 'first', b: 'second' }, { branch: 'main' });
  const victims = ['a', 'b'].map((name) => repo.objectPath('file', fileOf(repo, commit, name)));
  const whole = victims.map((path) => readFileSync(path));
  const damage = () => {
    for (const path of victims) writeFileSync(path, 'whoops, no object');
  };
  damage();
  const stopped = await fsck(repo, { stop: true, mark: true });
  assert.equal(stopped.problems.length, 1);
  assert.match(stopped.fatal ?? '', /^In commits [0-9a-f]{64}: fsck content object /);
  assert.equal(partialReason(repo, commit), null, 'nothing is marked for what may be healed by other means');
  const all = await fsck(repo, { mark: true });
  assert.equal(all.problems.length, 2);
  assert.equal(all.fatal, null);
  const deleted = await fsck(repo, { delete: true, mark: true, stop: true });
  assert.equal(deleted.problems.length, 2);
  assert.ok(victims.every((path) => !existsSync(path)));
  assert.equal(partialReason(repo, commit), 'fsck');
  victims.forEach((path, i) => {
    writeFileSync(path, whole[i] ?? '');
  });
  rmSync(repo.partialPath(commit));
  assert.deepEqual((await fsck(repo)).problems, []);
});

test('damaged trees and commits are found by their checksum', async () => {
  const repo = testRepo(scratch);
  const commit = await commitFiles(repo, { 'sub/a': '1' }, { branch: 'main' });
  const { tree, meta } = repo.loadCommit(commit);
  for (const [type, checksum] of [
    ['dirtree', tree],
    ['dirmeta', meta],
    ['commit', commit],
  ] as const) {
    const path = repo.objectPath(type, checksum);
    const bytes = readFileSync(path);
    for (const bad of [Buffer.alloc(0), Buffer.concat([bytes, Buffer.alloc(1)]), bytes.subarray(1)]) {
      writeFileSync(path, bad);
      const { problems, fatal } = await fsck(repo, { stop: true });
      assert.match(fatal ?? '', new RegExp(`Corrupted ${type} object; checksum expected='${checksum}'`));
      assert.equal(problems.length, 1);
    }
    writeFileSync(path, bytes);
  }
  assert.deepEqual((await fsck(repo)).problems, []);
});

test('a ref without its commit is the end of it', async () => {
  const repo = testRepo(scratch);
  const commit = await commitFiles(repo, { a: '1' }, { branch: 'main' });
  rmSync(repo.objectPath('commit', commit));
  const { problems, fatal } = await fsck(repo);
  assert.deepEqual(
    problems.map(({ kind }) => kind),
    ['missing', 'ref'],
  );
  assert.match(fatal ?? '', /^Loading commit for ref main: No such metadata object/);
});

test('bindings are checked when asked for', async () => {
  const repo = testRepo(scratch);
  const metadata = new Map([['ostree.ref-binding', { type: 'as', value: ['main'] }]]);
  const commit = await commitFiles(repo, { a: '1' }, { branch: 'main', metadata });
  assert.equal((await fsck(repo, { verifyBackRefs: true })).fatal, null);
  repo.setRef('stray', commit);
  assert.equal((await fsck(repo)).fatal, null);
  assert.match(
    (await fsck(repo, { verifyBindings: true })).fatal ?? '',
    /Commit has no requested ref ‘stray’ in ref binding metadata \(‘main’\)/,
  );
  repo.setRef('stray', null);
  repo.setRef('main', null);
  assert.equal((await fsck(repo, { verifyBindings: true })).fatal, null);
  assert.match((await fsck(repo, { verifyBackRefs: true })).fatal ?? '', /Ref ‘main’ in bindings .* does not exist/);
  repo.setRef('main', await commitFiles(repo, { a: '2' }));
  assert.match((await fsck(repo, { verifyBackRefs: true })).fatal ?? '', /does not resolve to that commit/);
});

test('tombstones take the place of commits whose parent is gone', async () => {
  const repo = testRepo(scratch);
  const first = await commitFiles(repo, { a: '1' }, { branch: 'main' });
  const second = await commitFiles(repo, { a: '2' }, { branch: 'main' });
  rmSync(repo.objectPath('commit', first));
  const { problems } = await fsck(repo, { addTombstones: true });
  assert.deepEqual(problems, []);
  assert.ok(!repo.hasObject('commit', second));
  assert.ok(existsSync(repo.objectPath('tombstone-commit', second)));
  assert.equal(repo.config.getBoolean('core', 'tombstone-commits'), true);
});

test('it stops when told to', async () => {
  const repo = testRepo(scratch);
  await commitFiles(repo, { a: '1' }, { branch: 'main' });
  await assert.rejects(fsck(repo, { signal: AbortSignal.abort(new Error('enough')) }), /enough/);
});
