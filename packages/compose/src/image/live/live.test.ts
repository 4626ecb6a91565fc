import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setImmutable, withFd } from '@atomic/linux';
import { removeScratch } from './live-root.ts';
import { requireOwnSet } from './pxe.ts';

const folder = mkdtempSync(join(tmpdir(), 'atomic-live-[1]-'));
after(() => rmSync(folder, { recursive: true }));

test('a folder is replaced when it holds a set for network boots and nothing else', async () => {
  const out = join(folder, 'set');
  await requireOwnSet(out);
  mkdirSync(out);
  await requireOwnSet(out);
  writeFileSync(join(out, 'vmlinuz'), '');
  await assert.rejects(requireOwnSet(out), /no set for network boots/);
  for (const name of ['initrd.img', 'root.img', 'cmdline', 'boot.ipxe', 'pxelinux.cfg'])
    writeFileSync(join(out, name), '');
  await requireOwnSet(out);
  writeFileSync(join(out, 'notes'), '');
  await assert.rejects(requireOwnSet(out), /or holds other files as well/);
});

function immutable(path: string): boolean {
  try {
    withFd(path, (fd) => setImmutable(fd, true));
    return true;
  } catch {
    return false;
  }
}

test('the folder a live system was made in goes, whatever characters are in its name', async (t) => {
  const scratch = join(folder, 'scratch');
  const deployment = join(scratch, 'root/ostree/deploy/os/deploy/abc.0');
  mkdirSync(deployment, { recursive: true });
  if (!immutable(deployment)) return t.skip('needs root, and a file system with immutable folders');
  await removeScratch(scratch);
  assert.equal(existsSync(scratch), false);
  await removeScratch(scratch);
});
