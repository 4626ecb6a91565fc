import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { lremovexattr } from '@atomic/linux';
import {
  AtomicError,
  type CommitOptions,
  checkout,
  checksumBytes,
  commitTree,
  diffTrees,
  encode,
  exportTar,
  fsck,
  listTree,
  Repo,
  type RepoMode,
  readFileAt,
  updateSummary,
  xattrsToValue,
} from '@atomic/ostree';
import {
  assertSame,
  copyRealTree,
  makeOddTree,
  manifest,
  notRoot,
  stock,
  stockError,
  stockMissing,
} from './store-tree.ts';

const skip = stockMissing || notRoot;
const scratch = mkdtempSync(join(tmpdir(), 'atomic-store-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const timestamp = 1_700_000_000;
const stockCommit = (repo: string, tree: string, ...more: string[]) =>
  stock(
    'commit',
    `--repo=${repo}`,
    '--branch=main',
    '--subject=S',
    '--body=B',
    `--timestamp=@${timestamp}`,
    '--no-bindings',
    ...more,
    `--tree=dir=${tree}`,
  ).trim();
const ourCommit = async (repo: Repo, tree: string, more: Partial<CommitOptions> = {}) =>
  (
    await commitTree(repo, {
      trees: [{ dir: tree }],
      branch: 'main',
      parent: null,
      subject: 'S',
      body: 'B',
      timestamp,
      ...more,
    })
  ).commit;

/** Turns a bare repository into one that keeps attributes as objects of their own, as container layers hold them. */
function splitXattrs(repo: Repo): void {
  for (const { type, checksum, path } of [...repo.listObjects()]) {
    if (type !== 'file') continue;
    const { xattrs } = repo.loadFile(checksum).header;
    const bytes = encode('a(ayay)', xattrsToValue(xattrs));
    const object = repo.objectPath('file-xattrs', checksumBytes(bytes));
    mkdirSync(join(object, '..'), { recursive: true });
    if (!existsSync(object)) writeFileSync(object, bytes, { mode: 0o644 });
    linkSync(object, repo.objectPath('file-xattrs-link', checksum));
    for (const { name } of xattrs) lremovexattr(path, name);
  }
  repo.config.set('core', 'mode', 'bare-split-xattrs');
  repo.saveConfig();
}

const trees = { odd: makeOddTree, real: copyRealTree };

for (const [kind, make] of Object.entries(trees)) {
  describe(`the ${kind} tree`, { skip }, () => {
    const tree = join(scratch, kind, 'tree');
    if (!skip) make(tree);
    const reference = skip ? '' : manifest(tree);

    for (const mode of ['bare', 'bare-user', 'archive'] satisfies RepoMode[]) {
      test(`${mode}: same commit as stock; each reads, checks and checks out the other's`, async () => {
        const theirs = join(scratch, kind, `${mode}-theirs`);
        const mine = join(scratch, kind, `${mode}-ours`);
        stock('init', `--repo=${theirs}`, `--mode=${mode}`);
        const expected = stockCommit(theirs, tree);
        const repo = Repo.create(mine, { mode });
        const commit = await ourCommit(repo, tree);
        assert.equal(commit, expected);

        stock('fsck', `--repo=${mine}`);
        const found = await fsck(Repo.open(theirs));
        assert.deepEqual(found.problems, []);
        assert.equal(found.commits, 1);
        assert.deepEqual((await fsck(repo)).problems, []);

        assertSame(stock('show', `--repo=${mine}`, 'main'), stock('show', `--repo=${theirs}`, 'main'));
        assertSame(stock('ls', '-RCX', `--repo=${mine}`, 'main'), stock('ls', '-RCX', `--repo=${theirs}`, 'main'));
        assert.equal(
          [...repo.listObjects()].length,
          [...Repo.open(theirs).listObjects()].filter(({ type }) => type !== 'commitmeta').length,
        );

        for (const [who, path] of [
          ['ours on theirs', theirs],
          ['ours on ours', mine],
        ] as const) {
          const out = join(scratch, kind, `${mode}-out`);
          await checkout(Repo.open(path), 'main', out);
          assertSame(manifest(out), reference, who);
          rmSync(out, { recursive: true, force: true });
        }
        // Stock refuses to check out a bare-user repository with owners; with -U both do the same to modes.
        if (mode !== 'bare-user') {
          const out = join(scratch, kind, `${mode}-stock-out`);
          stock('checkout', `--repo=${mine}`, 'main', out);
          assertSame(manifest(out), reference, 'stock on ours');
          rmSync(out, { recursive: true, force: true });
        }
        if (mode !== 'bare') {
          const a = join(scratch, kind, `${mode}-U-stock`);
          const b = join(scratch, kind, `${mode}-U-ours`);
          stock('checkout', '-U', `--repo=${mine}`, 'main', a);
          await checkout(Repo.open(theirs), 'main', b, { user: true });
          assertSame(manifest(b), manifest(a), '-U');
          rmSync(a, { recursive: true, force: true });
          rmSync(b, { recursive: true, force: true });
        }
        rmSync(theirs, { recursive: true, force: true });
      });
    }

    test('bare-user-only: the same commit, checked and checked out by both', async () => {
      const theirs = join(scratch, kind, 'buo-theirs');
      stock('init', `--repo=${theirs}`, '--mode=bare-user-only');
      const repo = Repo.create(join(scratch, kind, 'buo-ours'), { mode: 'bare-user-only' });
      assert.equal(await ourCommit(repo, tree), stockCommit(theirs, tree));
      stock('fsck', '-q', `--repo=${repo.path}`);
      assert.deepEqual((await fsck(Repo.open(theirs))).problems, []);
      const [a, b] = [join(scratch, kind, 'buo-out-a'), join(scratch, kind, 'buo-out-b')];
      stock('checkout', '-U', '-H', `--repo=${repo.path}`, 'main', a);
      await checkout(Repo.open(theirs), 'main', b, { user: true, requireHardlinks: true });
      assertSame(manifest(b), manifest(a));
      for (const path of [theirs, repo.path, a, b]) rmSync(path, { recursive: true, force: true });
    });

    test('an archive is exported, and compared with the tree, as stock does it', async () => {
      const path = join(scratch, kind, 'export');
      stock('init', `--repo=${path}`, '--mode=archive');
      const small = kind === 'real' ? join(tree, 'etc') : tree;
      stockCommit(path, small, '--no-xattrs');
      const repo = Repo.open(path);
      const pieces = await Array.fromAsync(exportTar(repo, 'main', { recordSize: 10_240 }));
      const listed = (archive: Buffer) =>
        execFileSync('tar', ['--numeric-owner', '-tvf', '-'], { input: archive, maxBuffer: 1 << 28 }).toString();
      const theirs = execFileSync('ostree', ['export', `--repo=${path}`, 'main'], { maxBuffer: 1 << 29 });
      // Older stock wrote duplicates out; a link says what it is a link to, and has no size.
      const plain = (text: string) =>
        text
          .replace(/^h/gm, '-')
          .replace(/ link to .*$/gm, '')
          .replace(/^(\S+ \S+) +\d+/gm, '$1');
      assertSame(plain(listed(Buffer.concat(pieces))), plain(listed(theirs)));

      const found = await diffTrees(repo, { rev: 'main' }, { dir: small }, { ignoreXattrs: true });
      assert.deepEqual(found, { modified: [], removed: [], added: [] });
    });

    test('canonical permissions, no attributes, other owners: as stock', async () => {
      const theirs = join(scratch, kind, 'options-theirs');
      stock('init', `--repo=${theirs}`, '--mode=archive');
      const repo = Repo.create(join(scratch, kind, 'options-ours'), { mode: 'archive' });
      const small = kind === 'real' ? join(tree, 'etc') : tree;
      for (const [flags, options] of [
        [['--canonical-permissions'], { canonicalPermissions: true }],
        [['--no-xattrs'], { noXattrs: true }],
        [['--owner-uid=42', '--owner-gid=43'], { uid: 42, gid: 43 }],
        [['--add-metadata-string=version=1.2'], { metadata: new Map([['version', { type: 's', value: '1.2' }]]) }],
      ] as const) {
        assert.equal(
          await ourCommit(repo, small, options),
          stockCommit(theirs, small, '--parent=none', ...flags),
          flags.join(),
        );
      }
    });

    test('ours lists and reads what stock committed', () => {
      const theirs = join(scratch, kind, 'read');
      stock('init', `--repo=${theirs}`, '--mode=archive');
      const small = kind === 'real' ? join(tree, 'etc') : tree;
      stockCommit(theirs, small);
      const repo = Repo.open(theirs);
      const listed = [...listTree(repo, 'main', '/', { recurse: true })].map(({ path }) => path).sort();
      const expected = execFileSync('find', [small, '-printf', '/%P\\0'], { maxBuffer: 1 << 28 })
        .toString()
        .split('\0')
        .slice(0, -1);
      assertSame(listed.join('\n'), expected.sort().join('\n'), 'listing');
      const name = kind === 'real' ? 'passwd' : 'ünïcødé-日本語-🙂';
      assert.deepEqual(readFileAt(repo, 'main', `/${name}`), readFileSync(join(small, name)));
    });
  });
}

test('what a tree cannot hold is refused, as stock refuses it', { skip }, async () => {
  const tree = join(scratch, 'special');
  const theirs = join(scratch, 'special-stock');
  stock('init', `--repo=${theirs}`, '--mode=bare');
  const repo = Repo.create(join(scratch, 'special-ours'), { mode: 'bare' });
  const kinds: Record<string, () => Promise<void> | void> = {
    fifo: () => void execFileSync('mkfifo', [join(tree, 'fifo')]),
    device: () => void execFileSync('mknod', [join(tree, 'device'), 'c', '1', '3']),
    socket: async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(join(tree, 'socket'), resolve));
      server.close(); // unlinks it: made again by bind in a child that is killed
      execFileSync('python3', [
        '-c',
        'import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])',
        join(tree, 'socket'),
      ]);
    },
    'name that is no UTF-8': () =>
      writeFileSync(Buffer.concat([Buffer.from(`${tree}/bad-`), Buffer.from([0xff, 0xfe])]), 'x'),
  };
  for (const [kind, make] of Object.entries(kinds)) {
    rmSync(tree, { recursive: true, force: true });
    mkdirSync(tree);
    writeFileSync(join(tree, 'good'), 'good');
    await make();
    assert.notEqual(
      stockError('commit', `--repo=${theirs}`, '-b', 'main', `--tree=dir=${tree}`),
      null,
      `stock, ${kind}`,
    );
    await assert.rejects(
      commitTree(repo, { trees: [{ dir: tree }], branch: 'main' }),
      (error: unknown) => error instanceof AtomicError && error.code === 'invalid' && error.message.includes(tree),
      kind,
    );
    assert.equal(repo.readRef('main'), null);
  }
});

test('bare-split-xattrs: stock and ours read the same out of it', { skip }, async () => {
  const tree = join(scratch, 'split');
  makeOddTree(tree);
  const repo = Repo.create(join(scratch, 'split-repo'), { mode: 'bare' });
  await ourCommit(repo, tree);
  splitXattrs(repo);
  const split = Repo.open(repo.path);
  assert.equal(split.mode, 'bare-split-xattrs');
  stock('fsck', '--all', `--repo=${repo.path}`);
  assert.deepEqual((await fsck(split)).problems, []);
  const lines = [...listTree(split, 'main', '/', { recurse: true })].map((entry) =>
    entry.kind === 'file'
      ? entry.header.xattrs.map(({ name, value }) => `${name.toString('latin1')}=${value.toString('hex')}`)
      : [],
  );
  assert.ok(lines.flat().length > 5);
  const [a, b] = [join(scratch, 'split-a'), join(scratch, 'split-b')];
  stock('checkout', `--repo=${repo.path}`, 'main', a);
  await checkout(split, 'main', b);
  assertSame(manifest(b), manifest(a));
  assertSame(manifest(b), manifest(tree));
});

// 100,000 files take minutes on a slow disk. What is special about so many, frames of four bytes in the dirtree, begins
// with some hundreds.
const MANY = 20_000;

test('a folder of very many files, and paths longer than a call takes', { skip }, async () => {
  const tree = join(scratch, 'many');
  mkdirSync(tree);
  for (let i = 0; i < MANY; i++) writeFileSync(join(tree, `file ${i}`), `${i}`);
  execFileSync('python3', [
    '-c',
    'import os,sys\nos.chdir(sys.argv[1])\nfor i in range(25): os.mkdir("y"*200); os.chdir("y"*200)\nopen("bottom","w").write("deep")',
    tree,
  ]);
  const theirs = join(scratch, 'many-theirs');
  stock('init', `--repo=${theirs}`, '--mode=bare');
  const repo = Repo.create(join(scratch, 'many-ours'), { mode: 'bare' });
  assert.equal(await ourCommit(repo, tree), stockCommit(theirs, tree));
  stock('fsck', '-q', `--repo=${repo.path}`);
  const result = await checkout(Repo.open(theirs), 'main', join(scratch, 'many-out'));
  assert.deepEqual(result, { files: MANY + 1, directories: 26, linked: MANY + 1, copied: 0 });
  for (const name of ['many', 'many-theirs', 'many-ours', 'many-out']) execFileSync('rm', ['-rf', join(scratch, name)]);
});

test('hard links in, hard links out; a bare checkout shares its files with the repository', { skip }, async () => {
  const tree = join(scratch, 'links');
  makeOddTree(tree);
  const repo = Repo.create(join(scratch, 'links-repo'), { mode: 'bare' });
  await ourCommit(repo, tree);
  const out = join(scratch, 'links-out');
  const result = await checkout(repo, 'main', out);
  assert.equal(statSync(join(out, 'a')).ino, statSync(join(out, 'hard-link-to-a')).ino);
  assert.equal(statSync(join(out, 'a')).mtimeMs, 0);
  assert.ok(result.linked > result.copied);
  stock('checkout', '-H', `--repo=${repo.path}`, 'main', join(scratch, 'links-stock'));
  assert.equal(statSync(join(scratch, 'links-stock/a')).ino, statSync(join(out, 'a')).ino);
});

test('damage: both name the same object', { skip }, async () => {
  const tree = join(scratch, 'damage');
  makeOddTree(tree);
  for (const mode of ['bare', 'archive'] satisfies RepoMode[]) {
    const repo = Repo.create(join(scratch, `damage-${mode}`), { mode });
    await ourCommit(repo, tree);
    const big = repo
      .loadDirTree(repo.loadCommit(repo.resolveRev('main')).tree)
      .files.find(({ name }) => name === 'big');
    const path = repo.objectPath('file', big?.checksum ?? '');
    const bytes = readFileSync(path);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 0x55;
    writeFileSync(path, bytes);
    const { problems } = await fsck(repo);
    assert.deepEqual(
      problems.map(({ checksum }) => checksum),
      [big?.checksum],
    );
    assert.match(stockError('fsck', `--repo=${repo.path}`) ?? '', new RegExp(big?.checksum ?? 'x'));
    rmSync(path);
    assert.match((await fsck(repo)).problems[0]?.checksum ?? '', new RegExp(big?.checksum ?? 'x'));
    assert.notEqual(stockError('fsck', `--repo=${repo.path}`), null);
  }
});

test("summary: stock reads ours, refs and all; a lock of stock's kind is there", { skip }, async () => {
  const repo = Repo.create(join(scratch, 'summary'), { mode: 'archive' });
  const tree = join(scratch, 'summary-tree');
  mkdirSync(tree);
  const commit = await ourCommit(repo, tree);
  repo.setRef('a/b/c', commit);
  await updateSummary(repo);
  const view = stock('summary', '--view', `--repo=${repo.path}`);
  assert.match(view, /\* a\/b\/c\n/);
  assert.match(view, new RegExp(commit));
  assert.equal(stock('refs', `--repo=${repo.path}`), 'a/b/c\nmain\n');
  stock('prune', '--refs-only', `--repo=${repo.path}`);
  stock('fsck', `--repo=${repo.path}`);
  assert.ok(existsSync(join(repo.path, '.lock')));
  assert.equal(lstatSync(join(repo.path, '.lock')).mode & 0o777, 0o640);
});
