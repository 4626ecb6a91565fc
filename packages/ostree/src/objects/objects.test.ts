import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encode } from '../gvariant/encode.ts';
import {
  archiveHeaderBytes,
  checksumBytes,
  compareNames,
  contentHasher,
  type FileHeader,
  fileHeaderBytes,
  parseArchiveHeader,
  parseCommit,
  parseDirMeta,
  parseDirTree,
  serializeCommit,
  serializeDirMeta,
  serializeDirTree,
} from './index.ts';

const root = { uid: 0, gid: 0, xattrs: [] };
const header = (mode: number, target = ''): FileHeader => ({ ...root, mode, target });
const digest = (file: FileHeader, content: string) => {
  const hasher = contentHasher(file);
  hasher.update(Buffer.from(content));
  return hasher.digest();
};

// Known checksums, of objects made by stock ostree.
const hello = digest(header(0o100644), 'hello\n');
const link = digest(header(0o120777, 'a'), '');
const meta = checksumBytes(serializeDirMeta({ ...root, mode: 0o040755 }));
const empty = checksumBytes(serializeDirTree({ files: [], dirs: [] }));
const tree = checksumBytes(
  serializeDirTree({
    files: [
      { name: 'l', checksum: link },
      { name: 'a', checksum: hello },
    ],
    dirs: [{ name: 'd', tree: empty, meta }],
  }),
);

test('objects have the checksums stock gives them', () => {
  assert.match(meta, /^446a0ef1.*5488$/);
  assert.match(empty, /^6e340b9c.*a01d$/);
  assert.match(hello, /^44f778e5.*3a6b$/);
  assert.match(link, /^438802d9.*3e0a$/);
  assert.match(tree, /^cdbbe5c3.*3a40$/);
  const commit = serializeCommit({
    metadata: new Map(),
    parent: null,
    subject: 'S',
    body: 'B',
    timestamp: 1700000000,
    tree,
    meta,
  });
  assert.match(checksumBytes(commit), /^fbbc28df.*6399$/);
  assert.equal(parseCommit(commit).subject, 'S');
  assert.equal(parseCommit(commit).timestamp, 1700000000);
});

test('a dirtree refuses names that leave the directory, disorder and doubles', () => {
  const sum = Buffer.alloc(32);
  const files = (...names: string[]) => encode('(a(say)a(sayay))', [names.map((name) => [name, sum]), []]);
  for (const name of ['', '.', '..', 'a/b', '/'])
    assert.throws(() => parseDirTree(files(name)), /Invalid .*(filename|uplink)/, name);
  assert.throws(() => parseDirTree(files('b', 'a')), /out of order/);
  assert.throws(() => parseDirTree(files('a', 'a')), /out of order/);
  assert.throws(
    () => parseDirTree(encode('(a(say)a(sayay))', [[['a', sum]], [['a', sum, sum]]])),
    /file and a directory/,
  );
  assert.throws(() => parseDirTree(encode('(a(say)a(sayay))', [[['a', Buffer.alloc(31)]], []])), /31 bytes/);
  assert.equal(parseDirTree(files('a', 'B'.toLowerCase())).files.length, 2);
});

test('names are in the order of their UTF-8 bytes', () => {
  const names = [
    '',
    'a',
    'a/',
    'ab',
    'B',
    '\u00e9',
    '\ud7ff',
    '\ue000',
    '\uffff',
    '\u{10000}',
    '\u{10ffff}',
    'a\u{1f600}',
    'a\uff00',
  ];
  for (const a of names) {
    for (const b of names) {
      const bytes = Buffer.compare(Buffer.from(a), Buffer.from(b));
      assert.equal(Math.sign(compareNames(a, b)), bytes, `${JSON.stringify(a)} ${JSON.stringify(b)}`);
    }
  }
});

test('modes are checked', () => {
  assert.throws(() => parseDirMeta(serializeDirMeta({ ...root, mode: 0o100755 })), /not a directory/);
  assert.throws(() => parseDirMeta(serializeDirMeta({ ...root, mode: 0o1040755 })), /invalid bits/);
  const device = Buffer.concat([Buffer.from([0, 0, 0, 36, 0, 0, 0, 0])]);
  assert.throws(() => parseArchiveHeader(device), /cut short/);
});

test('headers of plain files are what the general serialiser makes of them, and read back', () => {
  const swap = (n: number) => Buffer.from(Uint8Array.of(n >>> 24, n >>> 16, n >>> 8, n)).readUInt32LE(0);
  for (const [uid, gid, mode, size] of [
    [0, 0, 0o100644, 0],
    [1000, 65534, 0o104755, 2 ** 33 + 7],
    [0xffff_fffe, 1, 0o100000, 2 ** 40],
  ] as const) {
    const file = { uid, gid, mode, target: '', xattrs: [] };
    const fields = [swap(uid), swap(gid), swap(mode), 0, '', []];
    assert.deepEqual(fileHeaderBytes(file).subarray(8), encode('(uuuusa(ayay))', fields));
    const bytes = archiveHeaderBytes(file, size);
    const big = Buffer.alloc(8);
    big.writeBigUInt64BE(BigInt(size));
    assert.deepEqual(bytes.subarray(8), encode('(tuuuusa(ayay))', [big.readBigUInt64LE(), ...fields]));
    assert.deepEqual(parseArchiveHeader(bytes), { header: file, size, length: bytes.length });
    for (const at of [28, 32, 33]) {
      const bad = Buffer.from(bytes);
      bad[at] = 1;
      assert.throws(() => parseArchiveHeader(bad), /./);
    }
  }
});
