import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { AtomicError } from '../error.ts';
import type { ArchiveEntry } from './archive-entry.ts';
import { archiveEntries } from './read-archive.ts';

type Read = Omit<ArchiveEntry, 'content'> & { data: string };

async function* pieces(bytes: Buffer, size = bytes.length || 1): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function read(bytes: Buffer, chunk?: number): Promise<Read[]> {
  const found: Read[] = [];
  for await (const { content, ...entry } of archiveEntries(pieces(bytes, chunk))) {
    const data: Uint8Array[] = [];
    for await (const part of content) data.push(part);
    found.push({ ...entry, data: Buffer.concat(data).toString() });
  }
  return found;
}

interface Fields {
  name?: string;
  mode?: string;
  uid?: string;
  size?: number | string;
  type?: string;
  target?: string;
  magic?: string;
  prefix?: string;
}

function header(fields: Fields): Buffer {
  const block = Buffer.alloc(512);
  block.write(fields.name ?? '', 0, 'latin1');
  block.write(fields.mode ?? '0000644', 100, 'latin1');
  block.write(fields.uid ?? '0000000', 108, 'latin1');
  block.write('0000000', 116, 'latin1');
  const { size = 0 } = fields;
  block.write(typeof size === 'string' ? size : size.toString(8).padStart(11, '0'), 124, 'latin1');
  block.write(fields.type ?? '0', 156, 'latin1');
  block.write(fields.target ?? '', 157, 'latin1');
  block.write(fields.magic ?? 'ustar\0' + '00', 257, 'latin1');
  block.write(fields.prefix ?? '', 345, 'latin1');
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

function member(fields: Fields, content: string | Buffer = ''): Buffer {
  const data = Buffer.from(content);
  const padding = Buffer.alloc((512 - (data.length % 512)) % 512);
  return Buffer.concat([header({ size: data.length, ...fields }), data, padding]);
}

const END = Buffer.alloc(1024);
const archive = (...members: Buffer[]) => Buffer.concat([...members, END]);
function pax(records: [string, string | Buffer][]): Buffer {
  return Buffer.concat(
    records.map(([key, value]) => {
      const body = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')]);
      let length = body.length + 1;
      while (String(length).length + body.length > length) length++;
      return Buffer.concat([Buffer.from(String(length)), body]);
    }),
  );
}

test('ustar, GNU and pax: names, numbers, links, attributes that are no text', async () => {
  const capability = Buffer.from([1, 0, 0, 2, 0xff, 0xfe, 0, 10, 61]);
  const long = 'd/'.repeat(120);
  const bytes = archive(
    member({ name: './', type: '5', mode: '0000755' }),
    member({ name: 'file', prefix: 'some/where', uid: '0001750' }, 'hello'),
    member({ name: '././@LongLink', type: 'L', magic: 'ustar  \0' }, `${long}long\0`),
    member({ name: 'cut', magic: 'ustar  \0' }, 'x'),
    member(
      { type: 'x' },
      pax([
        ['path', 'päth'],
        ['uid', '70000'],
        ['SCHILY.xattr.security.capability', capability],
      ]),
    ),
    member({ name: 'ignored' }, 'y'),
    member({ type: 'x' }, pax([['LIBARCHIVE.xattr.user.a%3Db', Buffer.from(capability.toString('base64'))]])),
    member({ name: 'coded', uid: '\x80\0\0\0\0\x01\0\0' }),
    member({ name: 'link', type: '2', target: 'file' }),
    member({ name: 'hard', type: '1', target: 'some/where/file', size: 5 }),
    member({ name: 'old/', type: '\0', magic: '' }),
  );
  for (const chunk of [undefined, 1, 511, 513]) {
    const found = await read(bytes, chunk);
    assert.deepEqual(
      found.map(({ path, type, data }) => [path, type, data]),
      [
        ['./', 'directory', ''],
        ['some/where/file', 'file', 'hello'],
        [`${long}long`, 'file', 'x'],
        ['päth', 'file', 'y'],
        ['coded', 'file', ''],
        ['link', 'symlink', ''],
        ['hard', 'hardlink', ''],
        ['old/', 'directory', ''],
      ],
    );
    assert.equal(found[1]?.uid, 1000);
    assert.equal(found[3]?.uid, 70000);
    assert.deepEqual(found[3]?.xattrs, [{ name: Buffer.from('security.capability'), value: capability }]);
    assert.deepEqual(found[4]?.xattrs, [{ name: Buffer.from('user.a=b'), value: capability }]);
    assert.equal(found[4]?.uid, 65536);
    assert.equal(found[5]?.target, 'file');
  }
});

test('compressed archives, by what they begin with', async () => {
  const plain = archive(member({ name: 'a' }, 'data'));
  for (const bytes of [plain, gzipSync(plain), zstdCompressSync(plain)]) {
    assert.deepEqual(
      (await read(bytes)).map(({ path, data }) => [path, data]),
      [['a', 'data']],
    );
  }
  await assert.rejects(read(gzipSync(plain).subarray(0, 30)), AtomicError);
});

test('cpio: newc and odc, and the content of a hard link with its last name', async () => {
  const newc = (name: string, mode: number, links: number, data: string) => {
    const fields = [9, mode, 0, 0, links, 0, data.length, 0, 0, 0, 0, name.length + 1, 0];
    const head = `070701${fields.map((one) => one.toString(16).padStart(8, '0')).join('')}${name}\0`;
    const pad = (text: string) => text + '\0'.repeat((4 - (text.length % 4)) % 4);
    return pad(head) + pad(data);
  };
  const odc = (name: string, mode: number, data: string) => {
    const six = (value: number) => value.toString(8).padStart(6, '0');
    const eleven = (value: number) => value.toString(8).padStart(11, '0');
    return `070707${[1, 2, mode, 0, 0, 1, 0].map(six).join('')}${eleven(0)}${six(name.length + 1)}${eleven(data.length)}${name}\0${data}`;
  };
  const first =
    newc('one', 0o100644, 2, '') +
    newc('two', 0o100644, 2, 'shared') +
    newc('l', 0o120777, 1, 'one') +
    newc('TRAILER!!!', 0, 1, '');
  assert.deepEqual(
    (await read(Buffer.from(first, 'latin1'))).map(({ path, type, target, data }) => [path, type, target, data]),
    [
      ['one', 'file', '', ''],
      ['two', 'hardlink', 'one', 'shared'],
      ['l', 'symlink', 'one', ''],
    ],
  );
  const second = odc('d', 0o040755, '') + odc('d/f', 0o100600, 'odc') + odc('TRAILER!!!', 0, '');
  assert.deepEqual(
    (await read(Buffer.from(second, 'latin1'))).map(({ path, type, data }) => [path, type, data]),
    [
      ['d', 'directory', ''],
      ['d/f', 'file', 'odc'],
    ],
  );
});

test('hostile archives are refused: lengths, numbers, sums, names, what is cut short', async () => {
  const bad: Record<string, Buffer> = {
    'no archive': Buffer.from('#!/bin/sh\n'.repeat(100)),
    'cut short': member({ name: 'a', size: 5000 }, 'x'),
    'cut header': archive(member({ name: 'a' }, 'x')).subarray(0, 700),
    'a size that is no number': archive(member({ name: 'a', size: '12x45678901' })),
    'a negative size': archive(member({ name: 'a', size: `${'\xff'.repeat(12)}` })),
    'a size beyond all': archive(member({ name: 'a', size: `\x80${'\x7f'.repeat(11)}` })),
    'pax: a negative length': archive(member({ type: 'x' }, '-5 path=x\n')),
    'pax: no length': archive(member({ type: 'x' }, 'path=x\n')),
    'pax: a length beyond its end': archive(member({ type: 'x' }, '99 path=x\n')),
    'pax: a length of nothing': archive(member({ type: 'x' }, '0 path=x\n')),
    'pax: a size that is no number': archive(member({ type: 'x' }, pax([['size', '-1']])), member({ name: 'a' })),
    'pax: a header without end': archive(member({ type: 'x', size: 1 << 30 })),
    'a name that is not UTF-8': archive(member({ name: 'a\xff' })),
    'a sparse file': archive(member({ name: 'a', type: 'S' })),
    'cpio: a name without end': Buffer.from(`070701${'0'.repeat(88)}ffffffff00000000`),
    'cpio: no numbers': Buffer.from(`070701${'z'.repeat(104)}`),
  };
  for (const [kind, bytes] of Object.entries(bad)) await assert.rejects(read(bytes), AtomicError, kind);
});

test('damaged anywhere, an archive is read or refused', async () => {
  const good = archive(
    member(
      { type: 'x' },
      pax([
        ['path', 'a/b'],
        ['SCHILY.xattr.user.x', 'y'],
      ]),
    ),
    member({ name: 'x' }, 'some content'),
    member({ name: 'l', type: '1', target: 'x' }),
  );
  let seed = 7;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % below;
  };
  for (let i = 0; i < 2000; i++) {
    const bytes = Buffer.from(good);
    for (let hits = random(4); hits >= 0; hits--) bytes[random(bytes.length)] = random(256);
    await read(bytes.subarray(0, random(4) === 0 ? random(bytes.length) : bytes.length)).catch((error: unknown) => {
      assert.ok(error instanceof AtomicError, String(error));
    });
  }
});

test('what a source says at its very end is heard, whatever the compression, and what follows the archive', async () => {
  const bytes = archive(member({ name: 'file' }, 'hello'));
  // More than any buffer on the way, so that the end is not read by chance.
  const padded = Buffer.concat([bytes, Buffer.alloc(4 << 20)]);
  const noise = createHash('sha512').update('noise').digest();
  const packings = [bytes, padded, gzipSync(padded), zstdCompressSync(padded), Buffer.concat([gzipSync(bytes), noise])];
  for (const packed of packings) {
    const refused = async function* (): AsyncGenerator<Buffer> {
      yield* pieces(packed, 512);
      throw new AtomicError('corrupt', 'the digest is another');
    };
    await assert.rejects(async () => {
      for await (const { content } of archiveEntries(refused())) for await (const part of content) void part;
    }, /the digest is another/);
  }
});
