import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type CpioEntry, cpioArchive } from './cpio.ts';

test('cpio unpacks what we write', { skip: existsSync('/usr/bin/cpio') ? false : 'missing: cpio' }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'atomic-cpio-'));
  try {
    const entries: CpioEntry[] = [
      { path: 'a', kind: 'directory' },
      { path: 'a/file', kind: 'file', mode: 0o750, content: Buffer.from('three') },
      { path: 'a/empty', kind: 'file', content: Buffer.alloc(0) },
      { path: 'a/link', kind: 'symlink', target: '../elsewhere' },
    ];
    const archive = cpioArchive(entries);
    assert.equal(archive.length % 4, 0);
    assert.ok(archive.equals(cpioArchive(entries)), 'the same files give the same bytes');
    execFileSync('/usr/bin/cpio', ['-id', '--quiet'], { cwd: folder, input: archive, stdio: ['pipe', 'pipe', 'pipe'] });
    assert.equal(readFileSync(join(folder, 'a/file'), 'utf8'), 'three');
    assert.equal(statSync(join(folder, 'a/file')).mode & 0o7777, 0o750);
    assert.equal(statSync(join(folder, 'a/empty')).size, 0);
    assert.equal(readlinkSync(join(folder, 'a/link')), '../elsewhere');
  } finally {
    rmSync(folder, { recursive: true });
  }
});
