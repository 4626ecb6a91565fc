import assert from 'node:assert/strict';
import { linkSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { MNT, MS, mount, mountOf, readMounts, throughMountOf, umount } from './index.ts';

const scratch = realpathSync(mkdtempSync(join(tmpdir(), 'atomic-mounts-')));
after(() => rmSync(scratch, { recursive: true, force: true }));

test('the list: blanks in paths, options, what is shared; the last and longest mount has a path', () => {
  const mounts = readMounts(
    [
      '22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw',
      '24 22 8:3 /sub /mnt/a\\040b ro,nosuid master:4 - ext4 /dev/sda\\0403 rw',
      '25 22 0:9 / /mnt/a\\040b rw - tmpfs none rw',
      'not a line',
      '',
    ].join('\n'),
  );
  assert.deepEqual(mounts[1], {
    point: '/mnt/a b',
    root: '/sub',
    device: '8:3',
    source: '/dev/sda 3',
    readOnly: true,
    shared: true,
  });
  assert.equal(mounts.length, 3);
  assert.equal(mountOf('/mnt/a', mounts)?.point, '/');
  assert.equal(mountOf('/mnt/a b', mounts)?.device, '0:9');
  assert.equal(mountOf('/mnt/a b/c', mounts)?.device, '0:9');
});

test('a folder behind a mount is reached from beside, where a link can be made', {
  skip: process.getuid?.() === 0 ? false : 'mounting needs root',
}, () => {
  const [inside, view, other] = ['inside', 'view', 'other'].map((name) => join(scratch, name));
  assert.ok(inside !== undefined && view !== undefined && other !== undefined);
  for (const folder of [join(inside, 'deep'), view, other]) mkdirSync(folder, { recursive: true });
  writeFileSync(join(scratch, 'file'), '');
  mount(inside, view, null, MS.BIND);
  try {
    const deep = join(view, 'deep');
    assert.throws(() => linkSync(join(scratch, 'file'), join(deep, 'link')), { code: 'EXDEV' });
    const through = throughMountOf(deep, scratch);
    assert.equal(through, join(inside, 'deep'));
    linkSync(join(scratch, 'file'), join(through, 'link'));
    assert.equal(throughMountOf(join(inside, 'deep'), view), deep, 'and back');
    mount('none', view, null, MS.REMOUNT | MS.BIND | MS.RDONLY);
    assert.equal(throughMountOf(join(inside, 'deep'), view), null, 'nothing can be written there');
    assert.equal(throughMountOf(other, view), null, 'it is not on that mount');
    assert.equal(throughMountOf(other, scratch), other);
    mount('none', inside, 'tmpfs', 0);
    try {
      assert.equal(throughMountOf(deep, scratch), null, 'something else is mounted over it there');
    } finally {
      umount(inside, MNT.DETACH);
    }
    assert.equal(throughMountOf('/proc/self', scratch), null, 'another file system');
  } finally {
    umount(view, MNT.DETACH);
  }
});
