import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { commitTree } from '../commit/commit.ts';
import { Repo } from '../repo/repo.ts';
import { diffStats } from './diff-stats.ts';
import { diffTrees } from './diff-trees.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-diff-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const tree = join(scratch, 'tree');
mkdirSync(join(tree, 'same/deep'), { recursive: true });
writeFileSync(join(tree, 'same/deep/file'), 'same');
mkdirSync(join(tree, 'gone/below'), { recursive: true });
mkdirSync(join(tree, 'mode'));
writeFileSync(join(tree, 'changed'), 'before');
writeFileSync(join(tree, 'kind'), 'file');
const repo = Repo.create(join(scratch, 'repo'), { mode: 'archive' });
await commitTree(repo, { trees: [{ dir: tree }], branch: 'one', noXattrs: true });

writeFileSync(join(tree, 'changed'), 'after');
rmSync(join(tree, 'gone'), { recursive: true });
rmSync(join(tree, 'kind'));
symlinkSync('changed', join(tree, 'kind'));
chmodSync(join(tree, 'mode'), 0o700);
mkdirSync(join(tree, 'new/below'), { recursive: true });
writeFileSync(join(tree, 'new/below/file'), 'new');
await commitTree(repo, { trees: [{ dir: tree }], branch: 'two', noXattrs: true });

const expected = {
  modified: ['/changed', '/kind', '/mode'],
  removed: ['/gone'],
  added: ['/new', '/new/below', '/new/below/file'],
};

test('two commits: removed directories are one line, added ones all they hold', async () => {
  assert.deepEqual(await diffTrees(repo, { rev: 'one' }, { rev: 'two' }), expected);
  assert.deepEqual(await diffTrees(repo, { rev: 'two' }, { rev: 'two' }), { modified: [], removed: [], added: [] });
});

test('a commit and a folder: paths of each side are its own', async () => {
  const found = await diffTrees(repo, { rev: 'one' }, { dir: tree }, { ignoreXattrs: true });
  assert.deepEqual(found, { ...expected, added: ['new', 'new/below', 'new/below/file'] });
  const back = await diffTrees(repo, { dir: tree }, { rev: 'one' }, { ignoreXattrs: true });
  assert.deepEqual(back, {
    modified: ['changed', 'kind', 'mode'],
    removed: ['new'],
    added: ['/gone', '/gone/below'],
  });
});

test('a folder can be taken to have other owners', async () => {
  const options = { ignoreXattrs: true };
  assert.deepEqual((await diffTrees(repo, { rev: 'two' }, { dir: tree }, options)).modified, []);
  const uid = (process.getuid?.() ?? 0) + 1;
  const { modified } = await diffTrees(repo, { rev: 'two' }, { dir: tree }, { ...options, uid });
  assert.equal(modified.length, 9);
  await assert.rejects(diffTrees(repo, { rev: 'two' }, { dir: join(tree, 'changed') }), /Not a directory/);
});

test('statistics count what both commits have', () => {
  const { objects, common, commonBytes } = diffStats(repo, 'one', 'two');
  // one: its commit, 5 different trees (the empty one stands for two), 1 dirmeta, 3 files.
  assert.deepEqual(objects, [10, 13]);
  assert.equal(common, 5);
  assert.ok(commonBytes > 0);
});
