import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { regenerateInitramfs } from './regenerate-initramfs.ts';

test('an initramfs goes into the tree alone: not where a link leads', async () => {
  const work = mkdtempSync(join(tmpdir(), 'atomic-regenerate-'));
  try {
    const modules = join(work, 'tree/usr/lib/modules');
    mkdirSync(modules, { recursive: true });
    mkdirSync(join(work, 'elsewhere'));
    writeFileSync(join(work, 'elsewhere/vmlinuz'), 'kernel');
    symlinkSync(join(work, 'elsewhere'), join(modules, '6.1'));
    const done = regenerateInitramfs(join(work, 'tree'), join(work, 'etc'), []);
    await assert.rejects(done, /^AtomicError: the initramfs of a kernel in \S+\/6\.1 cannot be regenerated$/);
  } finally {
    rmSync(work, { recursive: true });
  }
});
