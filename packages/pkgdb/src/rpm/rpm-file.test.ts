import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { evrOf } from '../package.ts';
import { readRpmFile } from './rpm-file.ts';

const work = mkdtempSync(join(tmpdir(), 'atomic-rpmfile-'));
after(() => rmSync(work, { recursive: true }));

/** A header with strings under tags, magic and all. */
function header(strings: Readonly<Record<number, string>>): Buffer {
  const entries = Object.entries(strings);
  const index = Buffer.alloc(16 + entries.length * 16);
  let data = Buffer.alloc(0);
  entries.forEach(([tag, text], i) => {
    [Number(tag), 6, data.length, 1].forEach((word, at) => void index.writeUInt32BE(word, 16 + i * 16 + at * 4));
    data = Buffer.concat([data, Buffer.from(`${text}\0`)]);
  });
  [0x8eade801, 0, entries.length, data.length].forEach((word, at) => void index.writeUInt32BE(word, at * 4));
  return Buffer.concat([index, data]);
}

function file(parts: Buffer[]): string {
  const path = join(work, 'x.rpm');
  writeFileSync(path, Buffer.concat(parts));
  return path;
}

const lead = Buffer.concat([Buffer.from('edabeedb', 'hex'), Buffer.alloc(92)]);
// 96 + 16 + 16 + 5 = 133 bytes, so three of padding before the header.
const signature = Buffer.concat([header({ 269: 'sig!' }), Buffer.alloc(3)]);
const main = header({ 1000: 'app', 1001: '1.2', 1002: '3', 1022: 'x86_64', 1044: 'app-src-1.2-3.src.rpm' });

test('a package file says which package it is', () => {
  const found = readRpmFile(file([lead, signature, main]));
  assert.deepEqual([found.name, evrOf(found), found.arch, found.source], ['app', '1.2-3', 'x86_64', 'app-src']);
});

test('anything else is refused in one line', () => {
  const whole = Buffer.concat([lead, signature, main]);
  for (let length = 0; length < whole.length; length += 7)
    assert.throws(() => readRpmFile(file([whole.subarray(0, length)])), { code: 'invalid' }, `${length} bytes`);
  for (let at = 0; at < 4; at++) {
    const broken = Buffer.from(whole);
    broken[at] = 0;
    assert.throws(() => readRpmFile(file([broken])), /is no RPM package/);
  }
  const huge = Buffer.from(whole);
  huge.writeUInt32BE(0xffffffff, 96 + 12);
  assert.throws(() => readRpmFile(file([huge])), { code: 'invalid' });
});
