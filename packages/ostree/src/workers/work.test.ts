import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { commitTree } from '../commit/commit.ts';
import { AtomicError } from '../error.ts';
import { Repo } from '../repo/repo.ts';
import { type Verdict, verifyObject } from '../repo/verify-object.ts';
import { startWork } from './work.ts';

let work: string;
beforeEach(() => {
  work = mkdtempSync(join(tmpdir(), 'atomic-work-'));
});
afterEach(() => rmSync(work, { recursive: true, force: true }));

async function repoWith(files: number): Promise<Repo> {
  const tree = join(work, 'tree');
  mkdirSync(tree);
  for (let i = 0; i < files; i++) writeFileSync(join(tree, `f${i}`), `content ${i}`);
  const repo = Repo.create(join(work, 'repo'), { mode: 'archive' });
  await commitTree(repo, { trees: [{ dir: tree }], branch: 'main', noXattrs: true });
  return repo;
}

const items = (repo: Repo) => [...repo.listObjects()].map(({ type, checksum }) => ({ type, checksum }));

for (const [name, options] of [
  ['on this thread', { threads: 0 }],
  ['in threads alone', { threads: 2, help: false }],
  ['in threads with help', { threads: 2 }],
] as const) {
  test(`every item is done once ${name}`, async () => {
    const repo = await repoWith(700);
    const wanted = items(repo);
    const seen: string[] = [];
    const bad: Verdict[] = [];
    await using pool = await startWork(
      'verify',
      { repo: repo.path },
      {
        ...options,
        each: (verdict, { checksum }) => {
          seen.push(checksum);
          if (!verdict.ok) bad.push(verdict);
        },
      },
    );
    for (const item of wanted) await pool.push(item);
    await pool.finish();
    assert.deepEqual(bad, []);
    assert.deepEqual(seen.sort(), wanted.map(({ checksum }) => checksum).sort());
  });

  test(`an error comes back as it was thrown ${name}`, async () => {
    const repo = await repoWith(400);
    const missing = 'f'.repeat(64);
    const target = Repo.create(join(work, 'target'), { mode: 'bare-user' });
    await using transaction = await target.begin();
    await using pool = await startWork(
      'import',
      { target: transaction.target, source: repo.path },
      { ...options, each: (stored) => transaction.noteStored(stored) },
    );
    await assert.rejects(
      async () => {
        for (const { type, checksum } of items(repo)) if (type === 'file') await pool.push(checksum);
        await pool.push(missing);
        await pool.finish();
      },
      (error) => error instanceof AtomicError && error.code === 'not-found' && error.message.includes(missing),
    );
  });
}

test('an aborted signal ends the work with its reason, and the threads', async () => {
  const repo = await repoWith(500);
  const controller = new AbortController();
  const reason = new Error('enough');
  const wanted = items(repo);
  let done = 0;
  await assert.rejects(async () => {
    await using pool = await startWork(
      'verify',
      { repo: repo.path },
      {
        threads: 2,
        signal: controller.signal,
        each: () => {
          if (++done === 350) controller.abort(reason);
        },
      },
    );
    for (let round = 0; round < 100; round++) for (const item of wanted) await pool.push(item);
    await pool.finish();
  }, reason);
  assert.ok(done < 100 * wanted.length);
});

test('large and small objects are staged alike here and in threads, in every mode', async () => {
  const tree = join(work, 'tree');
  mkdirSync(tree);
  for (let i = 0; i < 350; i++) writeFileSync(join(tree, `small${i}`), `content ${i % 300}`);
  writeFileSync(join(tree, 'large'), Buffer.alloc(9_000_000, 'some words that compress '));
  writeFileSync(join(tree, 'edge'), Buffer.alloc(1 << 20, 1));
  writeFileSync(join(tree, 'beyond'), Buffer.alloc((1 << 20) + 1, 2));
  writeFileSync(join(tree, 'empty'), '');
  for (const mode of ['archive', 'bare-user'] as const) {
    const listings: string[][] = [];
    for (const threads of [0, 2]) {
      const repo = Repo.create(join(work, `${mode}-${threads}`), { mode });
      await using transaction = await repo.begin();
      await using pool = await startWork(
        'store',
        { target: transaction.target },
        { threads, each: (stored) => transaction.noteStored(stored) },
      );
      for (const name of readdirSync(tree)) {
        const size = name === 'large' ? 9_000_000 : 20;
        const file = { path: join(tree, name), uid: 0, gid: 0, mode: 0o100644, xattrs: [], readXattrs: false };
        await pool.push({ ...file, size }, size);
      }
      await pool.finish();
      const stats = await transaction.commit();
      assert.equal(stats.contentWritten, 304);
      const objects = items(repo).map(({ checksum }) => checksum);
      for (const checksum of objects) assert.deepEqual(await verifyObject(repo, 'file', checksum), { ok: true });
      listings.push(objects.sort());
    }
    assert.deepEqual(listings[0], listings[1]);
  }
});

test('items that take time among those that do not: each output comes with its own item', async () => {
  const tree = join(work, 'tree');
  mkdirSync(tree);
  for (let i = 0; i < 600; i++) writeFileSync(join(tree, `f${i}`), `content ${i}`);
  // Above the size that is unpacked in one piece.
  for (let i = 0; i < 6; i++) writeFileSync(join(tree, `large${i}`), Buffer.alloc(5_000_000 + i, `large ${i}`));
  const source = Repo.create(join(work, 'source'), { mode: 'archive' });
  await commitTree(source, { trees: [{ dir: tree }], branch: 'main', noXattrs: true });
  const files = items(source).flatMap(({ type, checksum }) => (type === 'file' ? [checksum] : []));
  for (const options of [{ threads: 0 }, { threads: 2 }, { threads: 3, help: false }]) {
    const target = Repo.create(join(work, `target-${options.threads}`), { mode: 'bare-user' });
    await using transaction = await target.begin();
    const done: string[] = [];
    await using pool = await startWork(
      'import',
      { target: transaction.target, source: source.path },
      {
        ...options,
        each: (stored, item) => {
          assert.equal(stored.checksum, item);
          done.push(transaction.noteStored(stored));
        },
      },
    );
    for (const checksum of files) await pool.push(checksum);
    await pool.finish();
    assert.deepEqual(done.sort(), [...files].sort());
    assert.equal((await transaction.commit()).contentWritten, files.length);
  }
});
