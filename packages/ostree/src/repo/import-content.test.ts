import assert from 'node:assert/strict';
import { lstatSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { commitTree } from '../commit/commit.ts';
import { pullLocal } from '../pull/local.ts';
import { Repo } from './repo.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-import-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

test('bare-user to bare-user-only: files that are the same in both are links, symlinks are made anew', async () => {
  const tree = join(scratch, 'tree');
  mkdirSync(tree);
  writeFileSync(join(tree, 'file'), 'content');
  symlinkSync('file', join(tree, 'link'));
  const from = Repo.create(join(scratch, 'from'), { mode: 'bare-user' });
  const to = Repo.create(join(scratch, 'to'), { mode: 'bare-user-only' });
  const canonical = { trees: [{ dir: tree }], branch: 'canonical', canonicalPermissions: true };
  const { commit } = await commitTree(from, canonical);
  await pullLocal(to, from.path, { refs: ['canonical'] });
  const [file, link] = to.loadDirTree(to.loadCommit(commit).tree).files.map(({ checksum }) => checksum);
  const stat = (repo: Repo, checksum: string | undefined) => lstatSync(repo.objectPath('file', checksum ?? ''));
  assert.equal(stat(from, file).ino, stat(to, file).ino);
  assert.ok(stat(from, link).isFile() && stat(to, link).isSymbolicLink());

  // With an owner that the target does not keep, the file cannot be the same.
  writeFileSync(join(tree, 'file'), 'owned');
  const owned = await commitTree(from, { trees: [{ dir: tree }], branch: 'owned', uid: 7, noXattrs: true });
  await pullLocal(to, from.path, { refs: ['owned'] });
  const [other] = to.loadDirTree(to.loadCommit(owned.commit).tree).files;
  assert.notEqual(stat(from, other?.checksum).ino, stat(to, other?.checksum).ino);
});
