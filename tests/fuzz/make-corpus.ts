/**
 * Writes corpus/, what fuzzing begins with: files as stock `ostree` and other tools write them. Run by hand, once; the
 * result is kept, so that the fixed part of the runs is the same everywhere.
 */
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeOldTree } from './old-tree.ts';

const corpus = join(import.meta.dirname, 'corpus');
rmSync(corpus, { recursive: true, force: true });
mkdirSync(corpus);
const work = mkdtempSync(join(tmpdir(), 'atomic-corpus-'));
const run = (program: string, ...args: string[]): string =>
  execFileSync(program, args, { cwd: work, encoding: 'utf8', input: '' }).trim();
const stock = (...args: string[]): string => run('/usr/bin/ostree', ...args);
const put = (name: string, bytes: string | Buffer): void => writeFileSync(join(corpus, name), bytes);

makeOldTree(join(work, 'old'));
makeOldTree(join(work, 'new'));
writeFileSync(join(work, 'new/large'), readFileSync(join(work, 'old/large'), 'latin1').replaceAll('line 7', 'LINE 7'));
writeFileSync(join(work, 'new/added'), 'another\n');
execFileSync('setfattr', ['-n', 'user.note', '-v', 'value', join(work, 'new/added')]);
symlinkSync('added', join(work, 'new/link'));

stock('init', '--repo=repo', '--mode=archive', '--collection-id=org.example.Corpus');
const plain = ['--owner-uid=0', '--owner-gid=0', '--timestamp=@1700000000', '--repo=repo'];
const from = stock('commit', ...plain, '--no-xattrs', '-b', 'old', '-s', 'old', 'old');
const to = stock(
  'commit',
  ...plain,
  '-b',
  'new',
  '-s',
  'new ü',
  '-m',
  'body\nof two lines',
  `--parent=${from}`,
  '--generate-sizes',
  '--add-metadata-string=version=1.0',
  "--add-metadata=nested=<{'a': <(uint32 7, [byte 1, 2], @as [])>, 'b': <true>}>",
  '--add-detached-metadata-string=note=signed nothing',
  'new',
);
const mutable = ['summary', '--repo=repo', '-u', '--add-metadata=key=<uint32 5>'];
stock('static-delta', 'generate', '--repo=repo', `--from=${from}`, `--to=${to}`);
stock('static-delta', 'generate', '--repo=repo', `--from=${from}`, `--to=${to}`, '--inline', '--filename=inline');
stock('static-delta', 'generate', '--repo=repo', '--empty', `--to=${to}`, '--filename=scratch', '--inline');
stock(
  'static-delta',
  'generate',
  '--repo=repo',
  `--from=${from}`,
  `--to=${to}`,
  '--swap-endianness',
  '--inline',
  '--filename=swapped',
);
stock('static-delta', 'reindex', '--repo=repo');
stock(...mutable);
for (const folder of ['repo/objects', 'repo/deltas', 'repo/delta-indexes']) {
  const counts = new Map<string, number>();
  for (const file of readdirSync(join(work, folder), { recursive: true, encoding: 'utf8' }).sort()) {
    const kind = /\.(commit|commitmeta|dirtree|dirmeta|filez|index)$/.exec(file)?.[1];
    const other = file.endsWith('/superblock') ? 'superblock' : /\/\d+$/.test(file) ? 'part' : undefined;
    const name = kind ?? other;
    const count = (counts.get(name ?? '') ?? 0) + 1;
    if (name === undefined || count > 4) continue;
    counts.set(name, count);
    copyFileSync(join(work, folder, file), join(corpus, `${name}-${count}`));
  }
}
for (const [index, name] of ['inline', 'scratch', 'swapped'].entries()) {
  copyFileSync(join(work, name), join(corpus, `superblock-${index + 5}`));
}
copyFileSync(join(work, 'repo/summary'), join(corpus, 'summary-1'));
stock('init', '--repo=plain', '--mode=archive');
stock('commit', '--repo=plain', '-b', 'main', '--timestamp=@1700000000', 'old');
stock('summary', '--repo=plain', '-u');
copyFileSync(join(work, 'plain/summary'), join(corpus, 'summary-2'));
copyFileSync(join(work, 'repo/config'), join(corpus, 'config-1'));
stock('remote', 'add', '--repo=repo', '--no-gpg-verify', 'origin', 'mirrorlist=http://example.org/list', 'a', 'b');
copyFileSync(join(work, 'repo/config'), join(corpus, 'config-2'));
put('config-3', '# c\n\n[core]\nmode=bare\\n\\s x\nlist=a;b\\;c;\n[remote "x y"]\nurl[de]=z\n');

// A part's bytes after unpacking: a type byte, then xz.
writeFileSync(join(work, 'part.xz'), readFileSync(join(corpus, 'part-1')).subarray(1));
run('xz', '-d', 'part.xz');
copyFileSync(join(work, 'part'), join(corpus, 'part-unpacked-1'));

run('tar', '-cf', 'a.tar', '--format=pax', '--xattrs', '-C', 'new', '.');
run('tar', '-czf', 'b.tar', '--format=gnu', '-C', 'new', '.');
run('tar', '-cf', 'c.tar', '--format=ustar', '-C', 'old', 'small', 'empty');
mkdirSync(join(work, 'long', 'x'.repeat(120), 'y'.repeat(120)), { recursive: true });
run('tar', '-cf', 'd.tar', '--format=gnu', '-C', 'long', '.');
run(
  'sh',
  '-c',
  'cd old && find . | cpio -o -H newc > ../e.tar 2>/dev/null; find . | cpio -o -H odc > ../f.tar 2>/dev/null',
);
run('sh', '-c', 'xz -k c.tar && mv c.tar.xz g.tar; zstd -q c.tar -o h.tar');
for (const [index, name] of [...'abcdefgh'].entries())
  copyFileSync(join(work, `${name}.tar`), join(corpus, `tar-${index + 1}`));

// Layers: whiteouts, an opaque directory, hard links to below and to beside, a directory behind a symlink.
mkdirSync(join(work, 'layer/dir/sub'), { recursive: true });
mkdirSync(join(work, 'layer/sub/deep'), { recursive: true });
for (const name of ['.wh.small', 'dir/.wh..wh..opq', 'dir/sub/.wh.x', 'dir/file', 'sub/deep/file'])
  writeFileSync(join(work, 'layer', name), name);
symlinkSync('dir/sub', join(work, 'layer/short'));
run('sh', '-c', 'cd layer && ln dir/file dir/sub/again && ln sub/deep/file zz-below');
const tar = (name: string, ...args: string[]) => run('tar', '-cf', `${name}.tar`, '-b1', '-C', 'layer', ...args);
tar('layer-1', '--format=pax', '--sort=name', '.');
tar('layer-2', '--format=gnu', 'dir/sub/again', 'dir/file', '.wh.small', 'short');
tar('layer-3', '--format=gnu', '--transform=s,^dir/sub,short,', 'short', 'dir/sub', 'sub/deep/file', 'zz-below');
run('tar', '--delete', '-b1', '-f', 'layer-3.tar', 'sub/deep/file');
for (const name of ['layer-1', 'layer-2', 'layer-3']) copyFileSync(join(work, `${name}.tar`), join(corpus, name));

put(
  'metalink-1',
  `<?xml version="1.0" encoding="utf-8"?>
<metalink version="3.0" xmlns="http://www.metalinker.org/"><files><file name="summary"><size>100</size>
<verification><hash type="md5">0</hash><hash type="sha256">${'ab'.repeat(32)}</hash></verification>
<resources maxconnections="1"><url protocol="http" type="http" location="DE" preference="100">http://example.org/summary</url>
<url protocol="ftp">ftp://example.org/summary</url></resources></file></files></metalink>
`,
);
put('mirrorlist-1', '# mirrors\nhttp://a.example.org/repo\n\nhttps://b.example.org/repo\nfile:///etc\nftp://x/\n');
const texts = [
  "{'a': <1>, 'b': <@as []>, 'c': <(byte 0x20, int16 -3, uint64 7, 1.5e3, true, nothing)>}",
  "[('x', @mv just <'y'>), ('z', nothing)]",
  "b'bytes \\x00\\n' ",
  '@a{sv} {}',
  "[@(ay) ([byte 1, 2],), (b'abc',)]",
  "'\\u00fc \\' \" \\t' ",
  'objectpath "/a/b"',
];
const putAll = (name: string, all: readonly string[]): void => {
  for (const [index, text] of all.entries()) put(`${name}-${index + 1}`, text);
};
putAll('text', texts);
putAll('type', ['(a{sv}aya(say)sstayay)', 'a(a(say)a(sayay))', 'maay', '{s(ybnqiuxthdsogv)}']);
putAll('ref', ['main', 'origin:os/main', 'a/b^', 'a'.repeat(64), 'org.example.X:ref', `main@${'b'.repeat(64)}`]);
put('cookies-1', 'example.org\tTRUE\t/path\tFALSE\t4102444800\tname\tvalue\n#HttpOnly_x\tFALSE\t/\tTRUE\t0\ta\tb\n');
put('bsdiff-1', bsdiff());
const home = join(work, 'gpg');
mkdirSync(home, { mode: 0o700 });
const gpg = ['--homedir', home, '--batch', '--quiet', '--pinentry-mode', 'loopback', '--passphrase', ''];
run('gpg', ...gpg, '--quick-generate-key', 'corpus@example.org', 'ed25519', 'sign', 'never');
run('gpg', ...gpg, '--detach-sign', '--output', 'sig', 'repo/config');
run('gpg', ...gpg, '--armor', '--detach-sign', '--output', 'asc', 'repo/config');
copyFileSync(join(work, 'sig'), join(corpus, 'signature-1'));
copyFileSync(join(work, 'asc'), join(corpus, 'signature-2'));
put(
  'listing-1',
  run('gpg', ...gpg, '--with-colons', '--fixed-list-mode', '--with-fingerprint', '--with-fingerprint', '-k'),
);
run('gpgconf', '--homedir', home, '--kill', 'all');
rmSync(work, { recursive: true });

/** A stream of two triples: add 4, insert 3, seek -2; add 2. */
function bsdiff(): Buffer {
  const triple = (...numbers: number[]): Buffer => {
    const bytes = Buffer.alloc(24);
    numbers.forEach((value, i) => {
      bytes.writeUInt32LE(Math.abs(value), i * 8);
      if (value < 0) bytes[i * 8 + 7] = 0x80;
    });
    return bytes;
  };
  return Buffer.concat([
    triple(4, 3, -2),
    Buffer.from([1, 2, 3, 4]),
    Buffer.from('new'),
    triple(2, 0, 0),
    Buffer.from([0, 0]),
  ]);
}
