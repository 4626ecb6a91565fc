import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { lsetxattr, readXattrs } from '@atomic/linux';
import { commitTree } from '../commit/commit.ts';
import { AtomicError } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import { serializeCommit } from '../objects/commit.ts';
import { serializeDirMeta } from '../objects/dirmeta.ts';
import { serializeDirTree } from '../objects/dirtree.ts';
import type { RepoMode } from '../repo/mode.ts';
import { Repo } from '../repo/repo.ts';
import { lookup } from '../repo/tree.ts';
import { checkout } from './checkout.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-checkout-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const needsRoot = process.getuid?.() === 0 ? false : 'needs root';

let serial = 0;
const fresh = (): string => join(scratch, `d${serial++}`);

/** Files by path; a string starting with `->` is a symlink, `/` at a path's end a directory. */
function make(content: Record<string, string>): string {
  const root = fresh();
  mkdirSync(root);
  for (const [path, text] of Object.entries(content)) {
    const full = join(root, path);
    mkdirSync(path.endsWith('/') ? full : join(full, '..'), { recursive: true });
    if (text.startsWith('->')) symlinkSync(text.slice(2), full);
    else if (!path.endsWith('/')) writeFileSync(full, text);
  }
  return root;
}

function newRepo(mode: RepoMode): Repo {
  const repo = Repo.create(fresh(), { mode });
  repo.config.set('core', 'fsync', 'false');
  return repo;
}

async function commit(repo: Repo, branch: string, content: Record<string, string>): Promise<Checksum> {
  return (await commitTree(repo, { trees: [{ dir: make(content) }], branch })).commit;
}

const read = (root: string, path: string): string => readFileSync(join(root, path), 'utf8');
const is = (code: AtomicError['code'], words: RegExp) => (error: unknown) =>
  error instanceof AtomicError && error.code === code && words.test(error.message);
const names = (root: string): string[] => readdirSync(root).sort();

test('bare: files are links to their objects, empty ones are copies of their own', { skip: needsRoot }, async () => {
  const repo = newRepo('bare');
  await commit(repo, 'main', { a: 'same', b: 'same', empty: '', 'also-empty': '', 'd/l': '->../a' });
  const out = fresh();
  const result = await checkout(repo, 'main', out);
  assert.deepEqual(result, { files: 5, directories: 2, linked: 3, copied: 2 });
  assert.equal(lstatSync(join(out, 'a')).ino, lstatSync(join(out, 'b')).ino);
  assert.equal(lstatSync(join(out, 'empty')).nlink, 1);
  assert.equal(lstatSync(join(out, 'd')).mtimeMs, 0);
  const copy = fresh();
  assert.equal((await checkout(repo, 'main', copy, { forceCopy: true })).linked, 0);
  assert.equal(lstatSync(join(copy, 'a')).nlink, 1);
});

test('empty files are linked where asked, until the file system has no more links', { skip: needsRoot }, async (t) => {
  const repo = newRepo('bare');
  const rev = await commit(repo, 'main', { 'a/empty': '', full: 'x' });
  const file = lookup(repo, rev, '/a/empty');
  assert.ok(file.kind === 'file');
  const object = repo.objectPath('file', file.checksum);
  const linked = fresh();
  const result = await checkout(repo, rev, linked, { linkEmpty: true });
  assert.deepEqual([result.linked, result.copied], [2, 0]);
  assert.equal(lstatSync(join(linked, 'a/empty')).ino, lstatSync(object).ino);

  const full = fresh();
  mkdirSync(full);
  // ext4 ends at 65,000.
  for (let i = 0; i < 70_000; i++) {
    try {
      linkSync(object, join(full, String(i)));
    } catch {
      break;
    }
  }
  const endless = lstatSync(object).nlink > 70_000;
  if (endless) t.diagnostic('this file system has no end of links: not tried what happens there');
  const copied = fresh();
  assert.equal((await checkout(repo, rev, copied, { linkEmpty: true })).copied, endless ? 0 : 1);
  assert.equal(read(copied, 'a/empty'), '');

  rmSync(object);
  await assert.rejects(checkout(repo, rev, fresh(), { linkEmpty: true }), is('not-found', /Couldn't find file object/));
});

test('new directories belong to whom the commit says, also below a parent that passes its group on', {
  skip: needsRoot,
}, async () => {
  const repo = newRepo('bare');
  const rev = await commit(repo, 'main', { 'a/b/file': 'x' });
  const parent = fresh();
  mkdirSync(parent);
  chownSync(parent, 7, 7);
  chmodSync(parent, 0o2755);
  await checkout(repo, rev, join(parent, 'out'));
  for (const path of ['out', 'out/a', 'out/a/b']) {
    const { uid, gid, mode } = lstatSync(join(parent, path));
    assert.deepEqual([uid, gid, mode & 0o7777], [0, 0, 0o755], path);
  }
});

test('union: replace, keep, or only if the same', { skip: needsRoot }, async () => {
  const repo = newRepo('bare');
  await commit(repo, 'one', { f: 'one', 'dir/x': 'x', l: '->f' });
  await commit(repo, 'two', { f: 'two', 'dir/y': 'y', l: '->dir' });
  const base = async () => {
    const out = fresh();
    await checkout(repo, 'one', out);
    return out;
  };
  let out = await base();
  await assert.rejects(checkout(repo, 'two', out), is('exists', /File exists/));
  assert.equal(read(out, 'f'), 'one', 'what was there is left alone');
  await checkout(repo, 'two', out, { union: 'overwrite' });
  assert.deepEqual([read(out, 'f'), readlinkSync(join(out, 'l')), names(join(out, 'dir'))], ['two', 'dir', ['x', 'y']]);
  assert.deepEqual(names(out), ['dir', 'f', 'l'], 'nothing left aside');
  out = await base();
  await checkout(repo, 'two', out, { union: 'add' });
  assert.deepEqual([read(out, 'f'), read(out, 'dir/y')], ['one', 'y']);
  out = await base();
  const identical = { union: 'identical', requireHardlinks: true } as const;
  await checkout(repo, 'one', out, identical);
  await assert.rejects(checkout(repo, 'two', out, identical), is('exists', /File exists/));
  await assert.rejects(checkout(repo, 'one', out, { union: 'identical' }), is('usage', /--require-hardlinks/));
});

test('union: a name of 255 bytes is replaced, a directory by a file is not', { skip: needsRoot }, async () => {
  const repo = newRepo('bare');
  const long = 'n'.repeat(255);
  await commit(repo, 'one', { [long]: 'one', thing: 'file' });
  await commit(repo, 'two', { [long]: 'two', thing: 'file' });
  for (const forceCopy of [false, true]) {
    const out = fresh();
    await checkout(repo, 'one', out, { forceCopy });
    await checkout(repo, 'two', out, { union: 'overwrite', forceCopy });
    assert.equal(read(out, long), 'two');
    rmSync(join(out, 'thing'));
    mkdirSync(join(out, 'thing'));
    await assert.rejects(checkout(repo, 'two', out, { union: 'overwrite', forceCopy }), is('exists', /Is a directory/));
  }
});

test('a directory may be a symlink to one; a file in its place may not', { skip: needsRoot }, async () => {
  const repo = newRepo('bare');
  await commit(repo, 'one', { 'usr/lib/a': 'a', lib: '->usr/lib' });
  await commit(repo, 'two', { 'lib/b': 'b' });
  const out = fresh();
  await checkout(repo, 'one', out);
  await checkout(repo, 'two', out, { union: 'overwrite' });
  assert.deepEqual(names(join(out, 'usr/lib')), ['a', 'b']);
  const blocked = make({ lib: 'a file' });
  await assert.rejects(checkout(repo, 'two', blocked, { union: 'overwrite' }), is('exists', /Not a directory/));
});

test('whiteouts: a name, a whole directory, and not the folder above', { skip: needsRoot }, async () => {
  const repo = newRepo('bare');
  await commit(repo, 'base', { 'a/x': 'x', 'a/y': 'y', 'b/old': 'old', c: 'c', d: '->c' });
  await commit(repo, 'layer', { 'a/.wh.x': '', 'b/.wh..wh..opq': '', 'b/new': 'new', '.wh.c': '', d: 'a file now' });
  const out = fresh();
  for (const rev of ['base', 'layer']) await checkout(repo, rev, out, { union: 'overwrite', whiteouts: true });
  assert.deepEqual([names(out), names(join(out, 'a')), names(join(out, 'b'))], [['a', 'b', 'd'], ['y'], ['new']]);
  assert.ok(lstatSync(join(out, 'd')).isFile());
  const plain = fresh();
  await checkout(repo, 'layer', plain);
  assert.ok(existsSync(join(plain, '.wh.c')), 'only when asked');

  const victim = make({ 'in/keep': 'keep', other: 'other' });
  await commit(repo, 'evil', { '.wh...': '', '.wh..': '' });
  await checkout(repo, 'evil', join(victim, 'in'), { union: 'overwrite', whiteouts: true });
  assert.deepEqual([names(victim), names(join(victim, 'in'))], [['in', 'other'], ['keep']]);
  await commit(repo, 'nameless', { '.wh.': '' });
  await assert.rejects(checkout(repo, 'nameless', fresh(), { whiteouts: true }), is('invalid', /empty whiteout/));
});

test('quoted overlayfs whiteouts become devices', { skip: needsRoot }, async () => {
  const repo = newRepo('bare');
  await commit(repo, 'main', { '.ostree-wh.gone': '', kept: 'kept' });
  const out = fresh();
  await checkout(repo, 'main', out, { passthroughWhiteouts: true });
  const stat = lstatSync(join(out, 'gone'));
  assert.ok(stat.isCharacterDevice() && stat.rdev === 0);
  await assert.rejects(
    checkout(repo, 'main', out, { passthroughWhiteouts: true, union: 'none' }),
    is('exists', /File exists/),
  );
  for (const union of ['add', 'overwrite'] as const)
    await checkout(repo, 'main', out, { passthroughWhiteouts: true, union });
  assert.deepEqual(names(out), ['gone', 'kept']);
});

test('what cannot be linked is refused when links are required', async () => {
  for (const [mode, user, words] of [
    ['bare-user', false, /User repository mode requires user checkout mode to hardlink/],
    ['archive', true, /Bare repository mode cannot hardlink in user checkout mode/],
  ] as const) {
    const repo = newRepo(mode);
    await commit(repo, 'main', { a: 'a' });
    const out = fresh();
    await assert.rejects(checkout(repo, 'main', out, { user, requireHardlinks: true }), words);
    assert.equal(existsSync(out), false, 'nothing half-made is left');
  }
});

test('-U: what nobody could read is made readable, setuid bits go', { skip: needsRoot }, async () => {
  const repo = newRepo('bare-user');
  const tree = make({ secret: 'secret', suid: 'suid' });
  chmodSync(join(tree, 'suid'), 0o4755);
  chmodSync(join(tree, 'secret'), 0);
  await commitTree(repo, { trees: [{ dir: tree }], branch: 'main' });
  const out = fresh();
  await checkout(repo, 'main', out, { user: true });
  assert.equal(lstatSync(join(out, 'secret')).mode & 0o7777, 0o400);
  assert.equal(lstatSync(join(out, 'suid')).mode & 0o7777, 0o755);
});

test('an archive is unpacked once when its cache is used', async () => {
  const repo = newRepo('archive');
  await commit(repo, 'main', { a: 'content', empty: '', l: '->a' });
  const [one, two, three] = [fresh(), fresh(), fresh()];
  await checkout(repo, 'main', one, { user: true });
  assert.equal(existsSync(join(repo.path, 'uncompressed-objects-cache')), false);
  assert.equal((await checkout(repo, 'main', two, { user: true, cache: true })).linked, 0);
  assert.deepEqual(await checkout(repo, 'main', three, { user: true, cache: true }), {
    files: 3,
    directories: 1,
    linked: 1,
    copied: 2,
  });
  assert.equal(lstatSync(join(two, 'a')).ino, lstatSync(join(three, 'a')).ino);
});

test('the cache is filled from what replaced other files, too', async () => {
  const repo = newRepo('archive');
  await commit(repo, 'main', { a: 'new content' });
  const out = make({ a: 'old' });
  await checkout(repo, 'main', out, { user: true, cache: true, union: 'overwrite' });
  assert.deepEqual([read(out, 'a'), names(out)], ['new content', ['a']]);
  assert.equal((await checkout(repo, 'main', fresh(), { user: true, cache: true })).linked, 1);
});

test('subpath: a directory, a file into a folder, nothing', async () => {
  const repo = newRepo('archive');
  await commit(repo, 'main', { 'd/e/f': 'f' });
  const [dir, file] = [fresh(), fresh()];
  await checkout(repo, 'main', dir, { user: true, subpath: '/d' });
  assert.equal(read(dir, 'e/f'), 'f');
  await checkout(repo, 'main', file, { user: true, subpath: 'd/e/f' });
  assert.deepEqual(names(file), ['f']);
  await assert.rejects(checkout(repo, 'main', fresh(), { subpath: '/x' }), is('not-found', /directory: \/x$/));
  await assert.rejects(checkout(repo, 'main', fresh(), { subpath: '/d/e/f/g' }), /Not a directory/);
});

test('filter: paths are left out with what is below', async () => {
  const repo = newRepo('archive');
  await commit(repo, 'main', { 'a/b/c': 'c', 'a/d': 'd', e: 'e' });
  const out = fresh();
  const seen: string[] = [];
  const filter = (path: string): boolean => {
    seen.push(path);
    return path !== '/a/b';
  };
  await checkout(repo, 'main', out, { user: true, filter });
  assert.deepEqual(names(join(out, 'a')), ['d']);
  assert.deepEqual(seen.sort(), ['/', '/a', '/a/b', '/a/d', '/e']);
});

test('labels replace those of the commit', { skip: needsRoot }, async () => {
  const repo = newRepo('archive');
  const tree = make({ 'd/f': 'f' });
  lsetxattr(join(tree, 'd/f'), 'user.other', Buffer.from('kept'));
  await commitTree(repo, { trees: [{ dir: tree }], branch: 'main' });
  const out = fresh();
  const label = (path: string, mode: number) => `${path}:${(mode >> 12).toString(8)}`;
  await checkout(repo, 'main', out, { forceCopy: true, selinux: { label, prefix: '/usr/' } });
  const found = readXattrs(join(out, 'd/f')).map(({ name, value }) => `${name} ${value}`);
  assert.deepEqual(found, ['security.selinux /usr/d/f:10', 'user.other kept']);
  assert.deepEqual(
    readXattrs(join(out, 'd')).map(({ value }) => value.toString()),
    ['/usr/d:4'],
  );
  await assert.rejects(checkout(repo, 'main', fresh(), { selinux: { label } }), is('usage', /copies/));
});

test('core.parent: objects of the parent are linked to as well', { skip: needsRoot }, async () => {
  const parent = newRepo('bare');
  const rev = await commit(parent, 'main', { a: 'a' });
  const child = newRepo('bare');
  child.config.set('core', 'parent', parent.path);
  child.saveConfig();
  const out = fresh();
  assert.equal((await checkout(child, rev, out)).linked, 1);
  assert.equal(read(out, 'a'), 'a');
});

/** A commit whose trees are made by hand. */
async function handmade(
  repo: Repo,
  build: (put: (type: 'dirtree' | 'dirmeta', bytes: Buffer) => Checksum) => { tree: Checksum; meta: Checksum },
): Promise<Checksum> {
  await using transaction = await repo.begin();
  const { tree, meta } = build((type, bytes) => transaction.writeMetadata(type, bytes));
  const rev = transaction.writeMetadata(
    'commit',
    serializeCommit({ metadata: new Map(), parent: null, subject: '', body: '', timestamp: 0, tree, meta }),
  );
  await transaction.commit();
  return rev;
}

test('paths beyond what the kernel takes in one call', async () => {
  const repo = newRepo('archive');
  const name = 'x'.repeat(250);
  const depth = 40;
  const rev = await handmade(repo, (put) => {
    const meta = put('dirmeta', serializeDirMeta({ uid: 0, gid: 0, mode: 0o040755, xattrs: [] }));
    let tree = put('dirtree', serializeDirTree({ files: [], dirs: [] }));
    for (let i = 0; i < depth; i++)
      tree = put('dirtree', serializeDirTree({ files: [], dirs: [{ name, tree, meta }] }));
    return { tree, meta };
  });
  const out = fresh();
  const open = readdirSync('/proc/self/fd').length;
  assert.equal((await checkout(repo, rev, out, { user: true })).directories, depth + 1);
  assert.equal(readdirSync('/proc/self/fd').length, open, 'no descriptor is left open');
  // The way down, as the kernel allows it: step by step.
  const before = process.cwd();
  try {
    process.chdir(out);
    for (let i = 0; i < depth; i++) {
      assert.equal(lstatSync(name).mode & 0o777, 0o755);
      process.chdir(name);
    }
    assert.deepEqual(readdirSync('.'), []);
  } finally {
    process.chdir(before);
  }
});

test('a name that is too long for the file system is said in words', async () => {
  const repo = newRepo('archive');
  const rev = await handmade(repo, (put) => {
    const meta = put('dirmeta', serializeDirMeta({ uid: 0, gid: 0, mode: 0o040755, xattrs: [] }));
    const empty = put('dirtree', serializeDirTree({ files: [], dirs: [] }));
    return {
      tree: put('dirtree', serializeDirTree({ files: [], dirs: [{ name: 'n'.repeat(300), tree: empty, meta }] })),
      meta,
    };
  });
  await assert.rejects(checkout(repo, rev, fresh(), { user: true }), is('invalid', /n+: File name too long$/));
});

test('damage: a missing object, an interrupted checkout', async () => {
  const repo = newRepo('archive');
  const rev = await commit(repo, 'main', { a: 'a', b: 'b' });
  const out = fresh();
  await assert.rejects(checkout(repo, 'main', out, { signal: AbortSignal.abort(new Error('stop')) }), /stop/);
  assert.equal(existsSync(out), false);
  const [file] = repo.loadDirTree(repo.loadCommit(rev).tree).files;
  rmSync(repo.objectPath('file', file?.checksum ?? ''));
  await assert.rejects(checkout(repo, 'main', out, { user: true }), is('not-found', /Couldn't find file object/));
  assert.equal(existsSync(out), false);
});

test('what was linked by somebody else already is taken as it is', { skip: needsRoot }, async () => {
  const repo = newRepo('bare');
  const rev = await commit(repo, 'main', { a: 'a' });
  const [file] = repo.loadDirTree(repo.loadCommit(rev).tree).files;
  const out = make({});
  linkSync(repo.objectPath('file', file?.checksum ?? ''), join(out, 'a'));
  assert.equal((await checkout(repo, 'main', out, { union: 'overwrite' })).linked, 0);
  assert.equal(lstatSync(join(out, 'a')).nlink, 2);
});
