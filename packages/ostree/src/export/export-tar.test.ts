import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { lsetxattr } from '@atomic/linux';
import { commitTree } from '../commit/commit.ts';
import { Repo } from '../repo/repo.ts';
import { tarHeader } from '../tar/header.ts';
import { type ExportOptions, exportTar } from './export-tar.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-export-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const deep = `${'d'.repeat(90)}/${'e'.repeat(90)}`;
const tree = join(scratch, 'tree');
mkdirSync(join(tree, deep), { recursive: true });
writeFileSync(join(tree, 'a'), 'twice');
writeFileSync(join(tree, 'zz'), 'twice');
writeFileSync(join(tree, 'big'), Buffer.alloc(3_000_001, 'big '));
writeFileSync(join(tree, deep, 'ü'), 'deep');
symlinkSync('t'.repeat(150), join(tree, 'long-link'));
lsetxattr(join(tree, 'big'), 'user.binary', Buffer.from([0, 255, 10, 61]));
const repo = Repo.create(join(scratch, 'repo'), { mode: 'archive' });
await commitTree(repo, { trees: [{ dir: tree }], branch: 'main', timestamp: 1_700_000_000 });

async function archive(name: string, options?: ExportOptions): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of exportTar(repo, 'main', options)) pieces.push(piece);
  const path = join(scratch, name);
  writeFileSync(path, Buffer.concat(pieces));
  return path;
}

const list = (path: string): string[] =>
  spawnSync('tar', ['--utc', '-tvf', path], { encoding: 'utf8', env: { PATH: '/usr/bin:/bin', LC_ALL: 'C.UTF-8' } })
    .stdout.trimEnd()
    .split('\n')
    .map((line) => line.replace(/^(\S+) \S+ +(\d+) (\S+ \S+)/, '$1 $2 $3'));

test('GNU tar reads it: long names, links, the time of the commit', async () => {
  const path = await archive('plain.tar');
  const listed = list(path);
  assert.ok(listed.includes('-rw-r--r-- 5 2023-11-14 22:13 a'), listed.join('\n'));
  assert.ok(listed.includes('hrw-r--r-- 0 2023-11-14 22:13 zz link to a'));
  assert.ok(listed.some((line) => line.endsWith(`long-link -> ${'t'.repeat(150)}`)));
  assert.ok(listed.some((line) => line.endsWith(`${deep}/ü`)));
  const out = join(scratch, 'out');
  mkdirSync(out);
  assert.equal(spawnSync('tar', ['-xf', path, '-C', out]).status, 0);
  assert.ok(readFileSync(join(out, 'big')).equals(readFileSync(join(tree, 'big'))));
  assert.equal(readFileSync(path).length % 512, 0);
});

test('attributes go along as bytes, unless they are not wanted', async () => {
  const bytes = readFileSync(await archive('xattrs.tar'));
  assert.ok(bytes.includes(Buffer.from('SCHILY.xattr.user.binary=\0\xff\n=\n', 'latin1')));
  assert.ok(!readFileSync(await archive('none.tar', { noXattrs: true })).includes('SCHILY'));
});

test('subpath and prefix; padding to a record', async () => {
  const path = await archive('part.tar', { subpath: deep.slice(0, 90), prefix: 'p/', recordSize: 10_240 });
  assert.deepEqual(
    list(path).map((line) => line.split(' ').at(-1)),
    ['p/', `p/${'e'.repeat(90)}/`, `p/${'e'.repeat(90)}/ü`],
  );
  assert.equal(readFileSync(path).length, 10_240);
  await assert.rejects(archive('file.tar', { subpath: '/a' }), /Not a directory/);
});

test('numbers beyond their octal fields', () => {
  const header = tarHeader({
    name: 'x',
    kind: 'file',
    mode: 0o644,
    uid: 2_097_152,
    gid: 2_097_151,
    size: 2 ** 33,
    mtime: 2 ** 40,
  });
  assert.equal(header.subarray(108, 116).toString('hex'), '8000000000200000');
  assert.equal(header.toString('latin1', 116, 124), '7777777\0');
  assert.equal(header.subarray(124, 136).toString('hex'), '800000000000000200000000');
  assert.equal(header.toString('latin1', 136, 147), '77777777777');
});
