import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { commitTree } from '../commit/commit.ts';
import { Repo } from '../repo/repo.ts';
import { treeRoot } from '../repo/tree.ts';
import { composefsDump } from './dump.ts';
import { VerityHasher } from './verity-digest.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-composefs-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

function verity(...pieces: Buffer[]): string {
  const hasher = new VerityHasher();
  for (const piece of pieces) hasher.update(piece);
  return hasher.digest().toString('hex');
}

// What `fsverity digest` and composefs-info say of such content.
test('fs-verity digests', () => {
  assert.equal(verity(Buffer.from('moo\n')), 'ebaa23af194a798df610e5fe2bd10725c9c4a3a56a6b62d4d0ee551d4fc4be27');
  assert.equal(verity(), '3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95');
  const mid = Buffer.from(`${'1'.padStart(5000)}`);
  assert.equal(verity(mid), '05066f7fb8048ffa52ec35592999097a103680fb19843739b8ab5235a6c115c2');
  const big = Buffer.from(`${'1'.padStart(70_000)}`);
  assert.equal(verity(big), '5df7ab38994eb353052eaa4cd97c1cc5ce9ac36045f8338f1112aeb869ff9f71');
  assert.equal(verity(big.subarray(0, 4097), big.subarray(4097, 4098), big.subarray(4098)), verity(big));
});

test('the tree needs more than one level of hashes', () => {
  // 129 blocks: two blocks of hashes, and one above.
  const block = Buffer.alloc(4096, 'x');
  const whole = Buffer.concat(Array.from({ length: 129 }, () => block));
  assert.equal(verity(...Array.from({ length: 129 }, () => block)), verity(whole));
  assert.notEqual(verity(whole), verity(whole.subarray(4096)));
});

test('a dump: what a root needs is there, fields are escaped', async () => {
  const tree = join(scratch, 'tree');
  mkdirSync(join(tree, 'usr'), { recursive: true });
  writeFileSync(join(tree, 'usr/a b\\\n'), 'moo\n');
  writeFileSync(join(tree, 'empty'), '');
  symlinkSync('-', join(tree, 'dash'));
  const repo = Repo.create(join(scratch, 'repo'), { mode: 'archive' });
  await commitTree(repo, { trees: [{ dir: tree }], branch: 'main', uid: 0, gid: 0, noXattrs: true });
  const text = (await Array.fromAsync(composefsDump(repo, treeRoot(repo, 'main'), 'yes'))).join('');
  const shortened = text.replace(/[0-9a-f]{2}\/[0-9a-f]{62}\.file/, 'OBJECT');
  assert.deepEqual(shortened.trimEnd().split('\n'), [
    '/ 0 40755 1 0 0 0 0.0 - - -',
    '/dash 1 120777 1 0 0 0 0.0 \\x2d - -',
    '/empty 0 100644 1 0 0 0 0.0 - - -',
    '/usr 0 40755 1 0 0 0 0.0 - - -',
    '/usr/a\\x20b\\\\\\n 4 100644 1 0 0 0 0.0 OBJECT - ebaa23af194a798df610e5fe2bd10725c9c4a3a56a6b62d4d0ee551d4fc4be27',
    '/boot 0 40755 1 0 0 0 0.0 - - -',
    '/etc 0 40755 1 0 0 0 0.0 - - -',
    '/sysroot 0 40755 1 0 0 0 0.0 - - -',
    '/var 0 40755 1 0 0 0 0.0 - - -',
  ]);
});
