import assert from 'node:assert/strict';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fsck } from '../fsck/fsck.ts';
import type { Checksum } from '../objects/checksum.ts';
import { partialReason, setPartial } from '../repo/commit-state.ts';
import type { Repo } from '../repo/repo.ts';
import { commitsBeginning } from '../repo/resolve-rev.ts';
import { commitFiles, scratchFolder, testRepo } from '../test-repo.ts';
import { deleteCommit, type PruneOptions, prune } from './prune.ts';

const scratch = scratchFolder('prune');

/** Ten commits: five on each of two branches, a day between them. */
async function history(): Promise<{ repo: Repo; stable: Checksum[]; dev: Checksum[] }> {
  const repo = testRepo(scratch);
  const stable: Checksum[] = [];
  const dev: Checksum[] = [];
  for (let day = 0; day < 5; day++) {
    const timestamp = day * 86_400;
    stable.push(await commitFiles(repo, { common: 'x', a: `stable ${day}` }, { branch: 'stable', timestamp }));
    dev.push(await commitFiles(repo, { common: 'x', a: `dev ${day}` }, { branch: 'dev', timestamp }));
  }
  return { repo, stable, dev };
}

const cases: [name: string, options: PruneOptions, stable: number, dev: number][] = [
  ['nothing asked for', {}, 5, 5],
  ['depth 0 of every commit', { depth: 0 }, 5, 5],
  ['refs only', { refsOnly: true }, 5, 5],
  ['refs only, two parents', { refsOnly: true, depth: 2 }, 3, 3],
  ['one branch kept whole', { depth: 0, retainDepths: new Map([['stable', -1]]) }, 5, 1],
  ['one branch pruned', { depth: 1, onlyBranches: ['dev'] }, 5, 2],
  [
    'one branch pruned, the other a little',
    { depth: 0, onlyBranches: ['dev'], retainDepths: new Map([['stable', 2]]) },
    3,
    1,
  ],
  ['what is younger', { keepYoungerThan: 3 * 86_400 }, 2, 2],
  ['what is younger, and what refs point to', { keepYoungerThan: 100 * 86_400 }, 1, 1],
  ['what is younger, but one branch', { keepYoungerThan: 4 * 86_400, retainDepths: new Map([['stable', 1]]) }, 2, 1],
];
for (const [name, options, keptStable, keptDev] of cases) {
  test(`keeps the right commits: ${name}`, async () => {
    const { repo, stable, dev } = await history();
    const before = await prune(repo, { ...options, dryRun: true });
    assert.equal(commitsBeginning(repo, '').length, 10);
    const result = await prune(repo, options);
    assert.deepEqual(result, before);
    const left = new Set(commitsBeginning(repo, ''));
    assert.deepEqual(
      [stable, dev].map((list) => list.map((commit) => left.has(commit))),
      [keptStable, keptDev].map((kept) => stable.map((_, i) => i >= 5 - kept)),
    );
    // Each commit has a file and a tree of its own.
    assert.equal(result.deleted, 3 * (10 - left.size));
    assert.deepEqual((await fsck(repo)).problems, []);
    assert.equal((await prune(repo, options)).deleted, 0);
  });
}

test('commits only: their trees stay', async () => {
  const { repo } = await history();
  const result = await prune(repo, { commitsOnly: true, refsOnly: true, depth: 0 });
  assert.deepEqual([result.total, result.deleted], [10, 8]);
  assert.equal((await prune(repo)).deleted, 16);
});

test('a commit with refs is not deleted; one without leaves a tombstone', async () => {
  const { repo, stable } = await history();
  const [oldest = '', , , , newest = ''] = stable;
  await assert.rejects(deleteCommit(repo, newest), /Commit '.*' is referenced by 'stable'/);
  repo.setRef({ collectionId: 'org.example.C', ref: 'x' }, oldest);
  await assert.rejects(deleteCommit(repo, oldest), /referenced by \(org\.example\.C, x\)/);
  assert.equal((await prune(repo, { refsOnly: true, depth: 0 })).deleted, 7 * 3, 'a mirrored ref keeps its commit');
  repo.setRef({ collectionId: 'org.example.C', ref: 'x' }, null);
  await deleteCommit(repo, oldest);
  assert.ok(existsSync(repo.objectPath('tombstone-commit', oldest)));
  await assert.rejects(deleteCommit(repo, oldest), { code: 'not-found' });
  await prune(repo, { refsOnly: true, depth: 0 });
  assert.ok(existsSync(repo.objectPath('tombstone-commit', oldest)), 'tombstones stay');
});

test('detached metadata and partial marks go with their commit', async () => {
  const { repo, dev } = await history();
  const [first = ''] = dev;
  writeFileSync(repo.objectPath('commitmeta', first), '');
  setPartial(repo, first, 'pull');
  const { total } = await prune(repo, { dryRun: true });
  await prune(repo, { refsOnly: true, depth: 0 });
  assert.equal(partialReason(repo, first), null);
  assert.ok(!existsSync(repo.objectPath('commitmeta', first)));
  assert.equal(total, 10 * 3 + 2, 'neither counts');
});

test('objects that nothing reaches go, strange files stay', async () => {
  const { repo } = await history();
  const folder = join(repo.path, 'objects', readdirSync(join(repo.path, 'objects'))[0] ?? '');
  writeFileSync(join(folder, `${'0'.repeat(62)}.filez`), 'orphan');
  writeFileSync(join(folder, `${'0'.repeat(62)}.txt`), 'no object');
  const { deleted, freedBytes } = await prune(repo);
  assert.deepEqual([deleted, freedBytes], [1, 6]);
  assert.ok(existsSync(join(folder, `${'0'.repeat(62)}.txt`)));
});

test('a damaged tree ends it before anything is lost', async () => {
  const { repo, stable } = await history();
  writeFileSync(repo.objectPath('dirtree', repo.loadCommit(stable[4] ?? '').tree), 'damaged');
  await assert.rejects(prune(repo, { refsOnly: true, depth: 0 }), { code: 'corrupt' });
  assert.equal(commitsBeginning(repo, '').length, 10);
});

test('missing trees of partial commits are no hindrance', async () => {
  const { repo, stable } = await history();

  rmSync(repo.objectPath('dirtree', repo.loadCommit(stable[0] ?? '').tree));
  assert.equal((await prune(repo)).deleted, 1, 'the file of the tree that is missing');
});
