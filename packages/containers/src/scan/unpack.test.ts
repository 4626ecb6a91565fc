import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { unpackRoot } from './unpack.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-unpack-'));
after(() => rmSync(scratch, { recursive: true }));

/** An entry of a tar: type `0` is a file, `3` a device. */
function entry(name: string, type: '0' | '3', text = ''): Buffer {
  const header = Buffer.alloc(512);
  const put = (value: string, at: number): void => void header.write(value, at, 'latin1');
  put(name, 0);
  for (const at of [108, 116]) put('0000000', at);
  put('0000644', 100);
  put(text.length.toString(8).padStart(11, '0'), 124);
  put('00000000000', 136);
  put(`        ${type}`, 148);
  put('ustar\u000000', 257);
  put('0000001', 329);
  put('0000003', 337);
  const sum = header.reduce((total, byte) => total + byte, 0);
  put(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, Buffer.from(text), Buffer.alloc((512 - (text.length % 512)) % 512)]);
}

async function* tar(...entries: Buffer[]): AsyncGenerator<Uint8Array> {
  yield* entries;
  yield Buffer.alloc(1024);
}

test('devices that may not be made are left out; any other complaint of tar ends it', async () => {
  // Root may make them, so tar is started without the right to.
  if (process.getuid?.() === 0) {
    mkdirSync(join(scratch, 'bin'));
    const line = 'exec setpriv --bounding-set=-mknod --inh-caps=-mknod /usr/bin/tar "$@"';
    writeFileSync(join(scratch, 'bin/tar'), `#!/bin/sh\n${line}\n`, { mode: 0o755 });
    process.env['PATH'] = `${join(scratch, 'bin')}:${process.env['PATH']}`;
  }
  const folder = join(scratch, 'root');
  await unpackRoot(
    tar(entry('null', '3'), entry('dev/null', '3'), entry('file', '0', 'x'), entry('zero', '3')),
    folder,
  );
  assert.deepEqual(readdirSync(folder), ['file']);
  assert.equal(readFileSync(join(folder, 'file'), 'utf8'), 'x');
  const broken = tar(entry('null', '3'), entry('file/below', '0', 'x'));
  await assert.rejects(
    unpackRoot(broken, folder),
    /cannot be unpacked for the scanner: .*tar: null: .*\n.*tar: file\/below: /,
  );
});
