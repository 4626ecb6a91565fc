import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { lgetxattr, lsetxattr } from '@atomic/linux';
import { mirrorTree } from './mirror-tree.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-mirror-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

test('a folder becomes the same as another, whatever was there', () => {
  const a = join(scratch, 'a');
  const b = join(scratch, 'b');
  mkdirSync(join(a, 'dir/deep'), { recursive: true });
  writeFileSync(join(a, 'dir/deep/file'), 'text');
  writeFileSync(join(a, 'file'), 'was a folder');
  writeFileSync(join(a, 'same'), 'same');
  writeFileSync(join(a, 'attribute'), 'x');
  lsetxattr(join(a, 'attribute'), 'user.one', Buffer.from('1'));
  symlinkSync('file', join(a, 'link'));
  chmodSync(join(a, 'dir'), 0o711);
  mkdirSync(join(b, 'file/full'), { recursive: true });
  mkdirSync(join(b, 'extra/full'), { recursive: true });
  writeFileSync(join(b, 'dir'), 'was a file');
  writeFileSync(join(b, 'same'), 'same');
  writeFileSync(join(b, 'attribute'), 'x');
  symlinkSync('elsewhere', join(b, 'link'));
  execFileSync('mkfifo', [join(b, 'fifo')]);
  const { ino } = lstatSync(join(b, 'same'));

  const done = mirrorTree(a, b);
  assert.deepEqual(done.written.sort(), ['attribute', 'dir', 'dir/deep', 'dir/deep/file', 'file', 'link']);
  assert.deepEqual(done.removed, ['extra']);
  rmSync(join(b, 'fifo'));
  execFileSync('diff', ['-r', '--no-dereference', a, b]);
  assert.equal(lgetxattr(join(b, 'attribute'), 'user.one')?.toString(), '1');
  assert.equal(lstatSync(join(b, 'dir')).mode & 0o777, 0o711);
  assert.equal(lstatSync(join(b, 'same')).ino, ino, 'what is the same is not touched');
  assert.deepEqual(mirrorTree(a, b), { written: [], removed: [] }, 'and there is nothing left to do');
});

test('what a run that was cut off left behind goes with the next', () => {
  const [a, b] = [join(scratch, 'c'), join(scratch, 'd')];
  mkdirSync(a);
  mkdirSync(b);
  writeFileSync(join(a, 'file'), 'new');
  writeFileSync(join(b, '.atomic-mirror~7'), 'half');
  mirrorTree(a, b);
  assert.ok(!existsSync(join(b, '.atomic-mirror~7')));
  assert.equal(readFileSync(join(b, 'file'), 'utf8'), 'new');
});
