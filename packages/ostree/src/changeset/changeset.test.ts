import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { commitTree } from '../commit/commit.ts';
import { Repo } from '../repo/repo.ts';
import { listTree } from '../repo/tree.ts';
import { padding, type TarEntry, tarHeader } from '../tar/header.ts';
import { applyChangeset } from './apply-changeset.ts';
import type { Change } from './change.ts';
import { changesetBetween } from './changeset-between.ts';
import { readLayer } from './read-layer.ts';
import { writeLayer } from './write-layer.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-changeset-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const repo = Repo.create(join(scratch, 'repo'), { mode: 'archive' });
repo.config.set('core', 'fsync', 'false');

const source = join(scratch, 'base');
for (const folder of ['dir/sub', 'usr/lib', 'untouched/deep']) mkdirSync(join(source, folder), { recursive: true });
for (const name of ['a', 'dir/x', 'dir/y', 'dir/sub/z', 'usr/lib/old', 'untouched/deep/file'])
  writeFileSync(join(source, name), name);
symlinkSync('usr/lib', join(source, 'lib'));
symlinkSync('/loop', join(source, 'loop'));
const { commit: base } = await commitTree(repo, { trees: [{ dir: source }], noXattrs: true, uid: 0, gid: 0 });

const entry = (name: string, more: Partial<TarEntry> & { content?: string } = {}): Buffer => {
  const { content = '', ...rest } = more;
  const size = Buffer.byteLength(content);
  const header = tarHeader({ name, kind: 'file', mode: 0o644, uid: 0, gid: 0, mtime: 0, size, ...rest });
  return Buffer.concat([header, Buffer.from(content), padding(size)]);
};
async function* tar(entries: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield Buffer.concat([...entries, Buffer.alloc(1024)]);
}

/** Paths of the base with a layer laid over it, sorted; directories end in a slash. */
async function layered(...entries: Buffer[]): Promise<string[]> {
  const { commit } = await applyChangeset(repo, { base, layer: tar(entries) });
  const paths = [...listTree(repo, commit, '/', { recurse: true })].map(({ kind, path }) =>
    kind === 'directory' ? `${path}/` : path,
  );
  return paths.filter((path) => path !== '//' && !path.startsWith('/untouched')).sort();
}
const refused = (pattern: RegExp, ...entries: Buffer[]) => assert.rejects(layered(...entries), pattern);

const BASE = ['/a', '/dir/', '/dir/sub/', '/dir/sub/z', '/dir/x', '/dir/y', '/lib', '/loop', '/usr/', '/usr/lib/'];
const without = (...gone: string[]) => [...BASE, '/usr/lib/old'].filter((path) => !gone.includes(path)).sort();

test('whiteouts take away what is below, and nothing else', async () => {
  assert.deepEqual(await layered(entry('.wh.a')), without('/a'));
  assert.deepEqual(await layered(entry('dir/.wh.sub')), without('/dir/sub/', '/dir/sub/z'));
  assert.deepEqual(await layered(entry('.wh.not-there'), entry('no/.wh.where')), without());
  // AUFS's own.
  assert.deepEqual(await layered(entry('.wh..wh.plnk/1.2', { content: 'x' }), entry('.wh..wh.aufs')), without());
});

test('an opaque directory hides all below it, first or last', async () => {
  const opaque = entry('dir/.wh..wh..opq');
  const own = entry('dir/new', { content: 'new' });
  const expected = [...without('/dir/x', '/dir/y', '/dir/sub/', '/dir/sub/z'), '/dir/new'].sort();
  assert.deepEqual(await layered(opaque, own), expected);
  assert.deepEqual(await layered(own, opaque), expected);
  const inside = entry('dir/sub/mine', { content: 'new' });
  const kept = [...without('/dir/x', '/dir/y', '/dir/sub/z'), '/dir/sub/mine'].sort();
  assert.deepEqual(await layered(inside, opaque), kept);
  assert.deepEqual(await layered(opaque, inside), kept);
});

test('a whiteout does not hide what its own layer has, whichever comes first', async () => {
  const expected = [...without('/dir/x', '/dir/y', '/dir/sub/', '/dir/sub/z'), '/dir/n'].sort();
  const dir = entry('dir/', { kind: 'directory', mode: 0o755 });
  const own = entry('dir/n', { content: 'n' });
  assert.deepEqual(await layered(dir, own, entry('.wh.dir')), expected);
  assert.deepEqual(await layered(entry('.wh.dir'), dir, own), expected);
  assert.deepEqual(await layered(entry('a', { content: 'mine' }), entry('.wh.a')), without());
});

test('files replace directories, and the other way round', async () => {
  assert.deepEqual(
    await layered(entry('dir', { content: 'file' })),
    [...without('/dir/', '/dir/sub/', '/dir/sub/z', '/dir/x', '/dir/y'), '/dir'].sort(),
  );
  assert.deepEqual(await layered(entry('a/', { kind: 'directory', mode: 0o755 }), entry('a/b')), [
    ...['/a/', '/a/b'],
    ...without('/a'),
  ]);
  // Twice the same name: the last counts, as when it is unpacked.
  assert.deepEqual(
    await layered(entry('n', { content: '1' }), entry('n', { kind: 'symlink', target: 'a' })),
    [...without(), '/n'].sort(),
  );
});

test('hard links: within the layer, to the base, to what comes later; nowhere is an error', async () => {
  const link = (name: string, target: string) => entry(name, { kind: 'link', target });
  const sums = async (...entries: Buffer[]) => {
    const { commit } = await applyChangeset(repo, { base, layer: tar(entries) });
    const files = [...listTree(repo, commit, '/', { recurse: true })];
    return (path: string) =>
      files.flatMap((one) => (one.kind === 'file' && one.path === path ? [one.checksum] : []))[0];
  };
  const across = await sums(link('dir/a too', '/a'), link('dir/again', './dir/a too'));
  assert.ok(across('/a') !== undefined);
  assert.equal(across('/dir/a too'), across('/a'));
  assert.equal(across('/dir/again'), across('/a'));
  const later = await sums(link('first', 'second'), entry('second', { content: 'content' }));
  assert.equal(later('/first'), later('/second'));
  // The name it pointed to is another file by the end.
  const changed = await sums(link('kept', 'a'), entry('a', { content: 'other' }));
  assert.notEqual(changed('/kept'), changed('/a'));
  assert.equal(changed('/kept'), across('/a'));
  await refused(/a hard link to nowhere, which is not there/, link('l', 'nowhere'));
  await refused(/which is not there/, link('l', 'dir'));
  await refused(/which is not there/, link('l', 'm'), link('m', 'l'));
  await refused(/Invalid uplink/, link('l', '../../etc/passwd'));
});

test('a parent that is a symlink leads to where it points, within the tree', async () => {
  assert.deepEqual(await layered(entry('lib/new')), [...without(), '/usr/lib/new'].sort());
  assert.deepEqual(await layered(entry('lib/.wh.old')), without('/usr/lib/old'));
  const out = entry('out', { kind: 'symlink', target: '../../../../usr/lib' });
  assert.deepEqual(await layered(out, entry('out/new')), [...without(), '/out', '/usr/lib/new'].sort());
  await refused(/Too many levels of symbolic links/, entry('loop/x'));
  await refused(/a is a file, not a directory/, entry('a/x'));
});

test('names that lead out of the tree, or to nothing, are refused', async () => {
  await refused(/Invalid uplink/, entry('../x'));
  await refused(/Invalid uplink/, entry('dir/../../x'));
  await refused(/Invalid whiteout/, entry('.wh.'));
  await refused(/Invalid whiteout/, entry('dir/.wh..'));
  await refused(/Invalid whiteout/, entry('dir/.wh...'));
  await refused(/Invalid whiteout/, entry('.wh.dir/x'));
  await refused(/is too long/, entry('n'.repeat(256)));
  await refused(/is too long/, entry('d/'.repeat(2100)));
  await refused(/has its root as a file/, entry('./'.replace('/', ''), { content: 'x' }));
  await refused(/Symlink entry has no target/, entry('s', { kind: 'symlink', target: '' }));
  assert.deepEqual(await layered(entry('//abs/./file')), ['/abs/', '/abs/file', ...without()].sort());
});

test('of several layers each is laid over what those before it made', async () => {
  const one = tar([entry('first', { content: '1' }), entry('way', { kind: 'symlink', target: 'dir/sub' })]);
  const two = tar([entry('.wh.first'), entry('way/second'), entry('third', { kind: 'link', target: 'dir/x' })]);
  const { tree } = await applyChangeset(repo, { base, layer: [one, two] });
  const names = (of: string) => repo.loadDirTree(of).files.map(({ name }) => name);
  assert.deepEqual(names(tree), ['a', 'lib', 'loop', 'third', 'way']);
  const dir = repo.loadDirTree(tree).dirs.find(({ name }) => name === 'dir')?.tree ?? '';
  assert.deepEqual(names(repo.loadDirTree(dir).dirs.find(({ name }) => name === 'sub')?.tree ?? ''), ['second', 'z']);
});

test('a tree that has such names cannot be said in a layer', async () => {
  const changes = async function* (): AsyncGenerator<Change> {
    yield { kind: 'remove', path: 'dir/.wh.x' };
  };
  await assert.rejects(async () => {
    for await (const _ of writeLayer(repo, changes()));
  }, /takes names that begin with \.wh\. for whiteouts/);
});

test('paths can be mapped, and left out with all they hold', async () => {
  const entries = [
    entry('etc/', { kind: 'directory', mode: 0o700 }),
    entry('etc/conf'),
    entry('dev/x'),
    entry('.wh.a'),
  ];
  const map = (path: string) =>
    path === 'dev' || path.startsWith('dev/') ? null : path.replace(/^etc(?=\/|$)/, 'usr/etc');
  const { commit } = await applyChangeset(repo, { base, layer: tar(entries), map });
  const changes: string[] = [];
  for await (const { kind, path } of changesetBetween(repo, base, commit)) changes.push(`${kind} ${path}`);
  assert.deepEqual(changes, ['remove a', 'dir usr/etc', 'file usr/etc/conf']);
});

test('what the changeset does not touch is not read', async () => {
  const read: string[] = [];
  const spied = Repo.open(repo.path);
  const load = spied.loadDirTree.bind(spied);
  spied.loadDirTree = (checksum) => {
    read.push(checksum);
    return load(checksum);
  };
  const { commit, tree } = await applyChangeset(spied, { base, layer: tar([entry('dir/sub/n', { content: '1' })]) });
  assert.equal(read.length, 3);
  assert.equal(repo.loadCommit(commit).tree, tree);
  const untouched = (root: string) => repo.loadDirTree(root).dirs.find(({ name }) => name === 'untouched');
  assert.deepEqual(untouched(tree), untouched(repo.loadCommit(base).tree));
});

test('an unchanged commit is not made; a packed layer is read as well', async () => {
  const nothing = await applyChangeset(repo, { base, parent: base, layer: tar([]), skipIfUnchanged: true });
  assert.deepEqual([nothing.commit, nothing.changed], [base, false]);
  const { gzipSync } = await import('node:zlib');
  const packed = gzipSync(Buffer.concat([entry('p', { content: 'packed' }), Buffer.alloc(1024)]));
  const found: string[] = [];
  const pieces = async function* () {
    yield packed;
  };
  for await (const { kind, path } of readLayer(pieces())) found.push(`${kind} ${path}`);
  assert.deepEqual(found, ['file p']);
});
