import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { stripElf } from './elf.ts';

test('the stripped Node runs, and is smaller', () => {
  const whole = readFileSync(process.execPath);
  const stripped = stripElf(whole);
  assert.ok(stripped.length <= whole.length);
  assert.equal(stripped.readBigUInt64LE(40), 0n);
  const directory = mkdtempSync(join(tmpdir(), 'atomic-elf-'));
  try {
    writeFileSync(join(directory, 'node'), stripped, { mode: 0o755 });
    assert.equal(execFileSync(join(directory, 'node'), ['-p', '6 * 7'], { encoding: 'utf8' }), '42\n');
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('what is no program is refused', () => {
  assert.throws(() => stripElf(Buffer.from('#!/bin/sh\n')), /not a 64-bit little-endian ELF/);
  assert.throws(() => stripElf(readFileSync(process.execPath).subarray(0, 4096)), /cut short/);
});
