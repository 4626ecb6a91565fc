import assert from 'node:assert/strict';
import { test } from 'node:test';
import { constants, zstdCompressSync } from 'node:zlib';
import { ByteReader } from './byte-reader.ts';
import { decompressed } from './decompress.ts';

async function* chunks(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function unpack(bytes: Buffer, size = 7): Promise<string> {
  await using reader = new ByteReader(chunks(bytes, size));
  const found: Uint8Array[] = [];
  for await (const chunk of await decompressed(reader)) found.push(chunk);
  return Buffer.concat(found).toString();
}

const skippable = (data: string): Buffer => {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(0x184d2a5a, 0);
  head.writeUInt32LE(data.length, 4);
  return Buffer.concat([head, Buffer.from(data)]);
};
const checked = { params: { [constants.ZSTD_c_checksumFlag]: 1, [constants.ZSTD_c_contentSizeFlag]: 0 } };

test('a zstd stream of many frames is read whole', async () => {
  const long = 'x'.repeat(300_000);
  const random = Buffer.from(Array.from({ length: 200_000 }, (_, i) => (i * 7919 * (i % 251)) & 0x7f));
  const parts = ['one', long, '', random.toString(), 'end'];
  const frames = parts.map((part, i) => zstdCompressSync(part, i % 2 === 0 ? checked : {}));
  const stream = Buffer.concat([...frames.flatMap((frame) => [frame, skippable('about')])]);
  for (const size of [1000, 65536, 1 << 20]) assert.equal(await unpack(stream, size), parts.join(''));
  assert.equal(await unpack(Buffer.concat([zstdCompressSync('a'), zstdCompressSync('b')])), 'ab');
});

test('what is cut or has something else behind it is refused', async () => {
  const frame = zstdCompressSync('some text, some text', checked);
  await assert.rejects(unpack(frame.subarray(0, -2)), /cut short|damaged/);
  await assert.rejects(unpack(Buffer.concat([frame, Buffer.from('rest')])), /damaged/);
  await assert.rejects(unpack(Buffer.concat([frame, Buffer.from('x')])), /cut short/);
});
