import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { haveLz4, LzmaError, lz4Pack, lz4Unpack, XzStream } from './index.ts';

const content = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (Math.imul(i % 5000, 2654435761) >>> 20) & 0xff));

for (const x86 of [false, true]) {
  test(`an .xz stream packs and unpacks, ${x86 ? 'as machine code' : 'as it is'}; xz reads it`, async () => {
    using encoder = XzStream.encoder({ preset: 6, dictionary: 1 << 20, x86 });
    const output = Buffer.alloc(content.length * 2);
    const { read, written, ended } = encoder.run(content, output, true);
    assert.deepEqual([read, ended], [content.length, true]);
    const packed = output.subarray(0, written);
    using decoder = XzStream.decoder(64 << 20);
    const back = Buffer.alloc(content.length + 1);
    const result = await decoder.runAsync(packed, back, false);
    assert.deepEqual([result.written, result.ended], [content.length, true]);
    assert.deepEqual(back.subarray(0, content.length), content);
    try {
      assert.deepEqual(execFileSync('xz', ['-dc'], { input: packed, maxBuffer: 1 << 24 }), content);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    }
  });
}

test('damage, and streams that want too much memory, are refused', () => {
  using encoder = XzStream.encoder({ preset: 9 });
  const output = Buffer.alloc(content.length * 2);
  const packed = output.subarray(0, encoder.run(content, output, true).written);
  const refused = (bytes: Buffer, limit: number, code: string): void => {
    using decoder = XzStream.decoder(limit);
    assert.throws(
      () => decoder.run(bytes, Buffer.alloc(content.length), false),
      (error) => error instanceof LzmaError && error.code === code,
    );
  };
  refused(Buffer.from('no xz at all, surely'), 64 << 20, 'data');
  refused(packed, 8 << 20, 'memory');
  const damaged = Buffer.from(packed);
  damaged[packed.length >> 1] = (damaged[packed.length >> 1] ?? 0) ^ 0x55;
  refused(damaged, 80 << 20, 'data');
});

test('LZ4 blocks pack and unpack; damage gives null', { skip: haveLz4() ? false : 'no liblz4.so.1' }, () => {
  const packed = lz4Pack(content, 9);
  assert.ok(packed !== null && packed.length < content.length);
  assert.deepEqual(lz4Unpack(packed, Buffer.alloc(content.length)), content);
  assert.equal(lz4Unpack(packed, Buffer.alloc(100)), null);
  assert.equal(lz4Unpack(packed.subarray(0, packed.length - 9), Buffer.alloc(content.length + 1)), null);
});
