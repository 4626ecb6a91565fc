import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { checkout, commitTree, contentHasher, fsck, prune, Repo, type RepoMode, readFileAt } from '../index.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-repo-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

function makeTree(path: string, files: number): string {
  mkdirSync(join(path, 'sub/deeper'), { recursive: true });
  for (let i = 0; i < files; i++) writeFileSync(join(path, i % 2 ? 'sub' : 'sub/deeper', `file-${i}`), `content ${i}`);
  writeFileSync(join(path, 'empty'), '');
  writeFileSync(join(path, 'large'), Buffer.alloc(3_000_000, 'large '));
  symlinkSync('sub/file-1', join(path, 'link'));
  chmodSync(join(path, 'large'), 0o755);
  return path;
}

const tree = makeTree(join(scratch, 'tree'), 40);

for (const mode of ['bare-user', 'archive'] satisfies RepoMode[]) {
  test(`${mode}: commit, read back, check out, damage, prune`, async () => {
    const repo = Repo.create(join(scratch, mode), { mode });
    const { commit } = await commitTree(repo, {
      trees: [{ dir: tree }],
      branch: 'os/main',
      subject: 'first',
      timestamp: 1,
    });
    assert.equal(repo.resolveRev('os/main'), commit);
    assert.equal(repo.resolveRev(commit.slice(0, 10)), commit);
    assert.equal(readFileAt(repo, 'os/main', '/link').toString(), 'content 1');
    const again = await commitTree(repo, {
      trees: [{ dir: tree }],
      branch: 'os/main',
      subject: 'x',
      skipIfUnchanged: true,
    });
    assert.equal(again.changed, false);

    const out = join(scratch, `${mode}-out`);
    const result = await checkout(repo, 'os/main', out, { user: true });
    assert.equal(result.files, 43);
    assert.deepEqual(readFileSync(join(out, 'large')), readFileSync(join(tree, 'large')));
    await assert.rejects(checkout(repo, 'os/main', out, { user: true }), /File exists/);
    await checkout(repo, 'os/main', out, { user: true, union: 'overwrite' });

    writeFileSync(join(tree, 'sub/file-1'), 'content one');
    const second = await commitTree(repo, { trees: [{ dir: tree }], branch: 'os/main', timestamp: 2 });
    writeFileSync(join(tree, 'sub/file-1'), 'content 1');
    assert.equal(repo.resolveRev('os/main^'), commit);
    assert.equal(second.stats.contentWritten, 1);
    const pruned = await prune(repo, { refsOnly: true, depth: 0 });
    assert.equal(pruned.deleted, 4); // a commit, two dirtrees, a file
    assert.deepEqual((await fsck(repo)).problems, []);
    assert.equal(repo.tryResolveRev('nosuch'), null);

    const victim = repo.objectPath(
      'file',
      repo.loadDirTree(second.tree).files.find((file) => file.name === 'large')?.checksum ?? '',
    );
    const bytes = readFileSync(victim);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    writeFileSync(victim, bytes);
    assert.equal((await fsck(repo)).problems.length, 1);
  });
}

test('one tree laid over another, by ref and by directory', async () => {
  const repo = Repo.create(join(scratch, 'overlay'), { mode: 'archive' });
  await commitTree(repo, { trees: [{ dir: tree }], branch: 'base', timestamp: 1 });
  const upper = join(scratch, 'upper');
  mkdirSync(join(upper, 'sub'), { recursive: true });
  writeFileSync(join(upper, 'sub/file-1'), 'from above');
  await commitTree(repo, { trees: [{ ref: 'base' }, { dir: upper }], branch: 'both', timestamp: 1 });
  assert.equal(readFileAt(repo, 'both', '/sub/file-1').toString(), 'from above');
  assert.equal(readFileAt(repo, 'both', '/sub/deeper/file-2').toString(), 'content 2');
  assert.equal(readFileAt(repo, 'base', '/sub/file-1').toString(), 'content 1');
});

test('a write with the wrong checksum leaves nothing', async () => {
  const repo = Repo.create(join(scratch, 'wrong'), { mode: 'archive' });
  await using transaction = await repo.begin();
  const header = { uid: 0, gid: 0, mode: 0o100644, target: '', xattrs: [] };
  const hasher = contentHasher(header);
  hasher.update(Buffer.from('good'));
  const good = hasher.digest();
  await assert.rejects(
    transaction.writeContent({ header, size: 3, source: Buffer.from('bad') }, good),
    /Corrupted file object/,
  );
  assert.throws(
    () => transaction.writeMetadata('commit', Buffer.from('junk'), { expected: good }),
    /checksum expected/,
  );
  assert.throws(() => transaction.writeMetadata('dirtree', Buffer.from('junk')), /malformed|normal form/);
  await transaction.commit();
  assert.deepEqual([...repo.listObjects()], []);
});

test('killed at any moment, a commit has happened or has not, and runs again', { timeout: 120_000 }, async () => {
  const path = join(scratch, 'killed');
  const big = makeTree(join(scratch, 'big'), 400);
  const script = `import { commitTree, Repo } from ${JSON.stringify(join(import.meta.dirname, '../index.ts'))};
    console.log('begin'); await commitTree(Repo.open(process.argv[1]), { trees: [{ dir: process.argv[2] }], branch: 'b', timestamp: 5 });`;
  let finished = 0;
  for (let round = 0; round < 12; round++) {
    rmSync(path, { recursive: true, force: true });
    const repo = Repo.create(path, { mode: round % 2 ? 'archive' : 'bare-user' });
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, path, big], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    await new Promise((resolve) => setTimeout(resolve, round * 12));
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('exit', resolve));
    if (repo.readRef('b') !== null) finished++;
    assert.deepEqual((await fsck(repo)).problems, [], `round ${round}`);
    const { commit } = await commitTree(repo, { trees: [{ dir: big }], branch: 'b', parent: null, timestamp: 5 });
    assert.equal(repo.readRef('b'), commit);
    assert.deepEqual((await fsck(repo)).problems, []);
    assert.deepEqual(
      // An empty one may be of a process that has not locked it yet; it goes a minute later.
      readdirSync(join(path, 'tmp'), { recursive: true, encoding: 'utf8' }).filter((name) => /^staging.*\//.test(name)),
      [],
      `round ${round}`,
    );
  }
  assert.ok(finished < 12, 'no commit was cut short: the test cut too late');
});

test('a staging folder that another process has just made, and not locked yet, is left to it', async () => {
  const repo = Repo.create(join(scratch, 'just-made'), { mode: 'bare-user' });
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  const made = join(repo.path, `tmp/staging-${boot}-young1`);
  mkdirSync(made);
  await commitTree(repo, { trees: [{ dir: tree }], branch: 'b' });
  assert.ok(existsSync(made));
  utimesSync(made, 1, 1);
  await commitTree(repo, { trees: [{ dir: tree }], branch: 'b' });
  assert.ok(!existsSync(made), 'what nobody took for long is leftover');
});

test('an aborted commit moves nothing', async () => {
  const repo = Repo.create(join(scratch, 'aborted'), { mode: 'archive' });
  const controller = new AbortController();
  const work = commitTree(repo, {
    trees: [{ dir: tree }],
    branch: 'b',
    signal: controller.signal,
    progress: ({ done }) => (done ?? 0) > 5 && controller.abort(new Error('stop')),
  });
  await assert.rejects(work, /stop/);
  assert.equal(repo.readRef('b'), null);
  assert.equal(existsSync(join(repo.path, 'refs/heads/b')), false);
});
