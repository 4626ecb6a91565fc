/** Extension images: what is in them, that they are the same each time, and that systemd-sysext merges them. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
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
import { lsetxattr, umount } from '@atomic/linux';
import { checkout, commitTree, exportSysext, Repo, type SysextFormat } from '@atomic/ostree';
import { notRoot } from './store-tree.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-sysext-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const repo = Repo.create(join(scratch, 'repo'), { mode: 'archive' });
const lacks = (tool: string) => (spawnSync(tool, ['--help']).error === undefined ? false : `${tool} is not installed`);

const tree = join(scratch, 'tree');
mkdirSync(join(tree, 'usr/lib/sub'), { recursive: true });
mkdirSync(join(tree, 'etc'));
writeFileSync(join(tree, 'usr/lib/os-release'), 'NAME="Test"\nID=test\nVERSION_ID="7"\n');
writeFileSync(join(tree, 'usr/lib/gone'), 'gone');
writeFileSync(join(tree, 'usr/lib/changed'), 'before');
let base = '';
let next = '';
let withEtc = '';
if (notRoot === false) {
  const commit = async () => (await commitTree(repo, { trees: [{ dir: tree }], timestamp: 1_700_000_000 })).commit;
  base = await commit();
  mkdirSync(join(tree, 'usr/bin'));
  writeFileSync(join(tree, 'usr/bin/tool'), '#!/bin/sh\n', { mode: 0o755 });
  chownSync(join(tree, 'usr/bin/tool'), 12, 34);
  lsetxattr(join(tree, 'usr/bin/tool'), 'user.note', Buffer.from('kept'));
  writeFileSync(join(tree, 'usr/lib/changed'), 'after');
  rmSync(join(tree, 'usr/lib/gone'));
  symlinkSync('tool', join(tree, 'usr/bin/link'));
  next = await commit();
  writeFileSync(join(tree, 'etc/conf'), 'conf');
  withEtc = await commit();
}

const find = (folder: string): string =>
  execFileSync('find', ['.', '-printf', '%p %y %m %U:%G %T@ %l\\n'], { cwd: folder, encoding: 'utf8' })
    .split('\n')
    .sort()
    .join('\n')
    .trim();

for (const format of ['directory', 'erofs', 'squashfs'] as const satisfies SysextFormat[]) {
  const tool = { directory: 'true', erofs: 'mkfs.erofs', squashfs: 'mksquashfs' }[format];
  test(`an extension as ${format}`, { skip: notRoot || lacks(tool) }, async () => {
    const output = join(scratch, format === 'directory' ? 'tools' : `${format}.raw`);
    const options = { output, format, name: 'tools', whiteouts: true };
    const written = await exportSysext(repo, base, next, options);
    assert.deepEqual(written.release, { ID: 'test', VERSION_ID: '"7"' });
    assert.deepEqual([written.files, written.removed, written.leftOut], [3, 1, []]);
    await assert.rejects(exportSysext(repo, base, next, options), { code: 'exists' });
    const again = join(scratch, `again-${format}`);
    await exportSysext(repo, base, next, { ...options, output: again });
    let folder = output;
    if (format === 'directory') assert.equal(find(again), find(output));
    else {
      assert.ok(readFileSync(again).equals(readFileSync(output)), 'the same bytes');
      folder = join(scratch, `mounted-${format}`);
      mkdirSync(folder);
      execFileSync('mount', ['-o', 'loop,ro', '-t', format, output, folder]);
    }
    try {
      const expected = `
. d 755 0:0 1700000000.0000000000 
./usr d 755 0:0 1700000000.0000000000 
./usr/bin d 755 0:0 1700000000.0000000000 
./usr/bin/link l 777 0:0 1700000000.0000000000 tool
./usr/bin/tool f 755 12:34 1700000000.0000000000 
./usr/lib d 755 0:0 1700000000.0000000000 
./usr/lib/changed f 644 0:0 1700000000.0000000000 
./usr/lib/extension-release.d d 755 0:0 1700000000.0000000000 
./usr/lib/extension-release.d/extension-release.tools f 644 0:0 1700000000.0000000000 
./usr/lib/gone c 600 0:0 1700000000.0000000000`;
      assert.equal(find(folder).replaceAll(/ \n/g, ' \n'), expected.trim());
      const note = execFileSync('getfattr', [
        '--absolute-names',
        '--only-values',
        '-n',
        'user.note',
        join(folder, 'usr/bin/tool'),
      ]);
      assert.equal(note.toString(), 'kept');
    } finally {
      if (format !== 'directory') umount(folder);
    }
  });
}

/** What is in /usr of the base once systemd has merged an extension into it. Mounts are seen by this command alone. */
function merged(root: string): string {
  const script = `mount --make-rshared / && mount -t tmpfs tmpfs /run && systemd-sysext --root='${root}' merge >&2 &&
    cd '${root}' && find usr -printf '%p %y %m %U:%G %l\\n' && cat usr/lib/changed && cd / &&
    systemd-sysext --root='${root}' unmerge >&2`;
  return execFileSync('unshare', ['--mount', 'sh', '-c', script], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

for (const format of ['directory', 'erofs', 'squashfs'] as const satisfies SysextFormat[]) {
  const tool = { directory: 'true', erofs: 'mkfs.erofs', squashfs: 'mksquashfs' }[format];
  const skip = notRoot || lacks(tool) || lacks('systemd-sysext');
  test(`systemd merges an extension as ${format}, and the tree is the new one`, { skip }, async () => {
    const root = join(scratch, `root-${format}`);
    await checkout(repo, base, root, {});
    mkdirSync(join(root, 'var/lib/extensions'), { recursive: true });
    const output = join(root, 'var/lib/extensions', format === 'directory' ? 'tools' : 'tools.raw');
    await exportSysext(repo, base, next, { output, format, whiteouts: true });
    const wanted = join(scratch, `wanted-${format}`);
    await checkout(repo, next, wanted, {});
    const list = execFileSync('find', ['usr', '-printf', '%p %y %m %U:%G %l\\n'], { cwd: wanted, encoding: 'utf8' });
    const all = merged(root).split('\n').sort();
    // systemd's own notes.
    const lines = all.filter((line) => !line.startsWith('usr/.systemd-sysext'));
    const own = lines.filter((line) => line.includes('extension-release'));
    assert.equal(own.length, 2);
    assert.deepEqual(
      lines.filter((line) => !own.includes(line)),
      `${list}after`.split('\n').sort(),
    );
  });
}

test('what an extension cannot hold is refused, or left out on request', { skip: notRoot }, async () => {
  const output = join(scratch, 'refused');
  const plain = { output, format: 'directory' as const };
  await assert.rejects(exportSysext(repo, base, next, plain), /is to add, but these are gone: \/usr\/lib\/gone/);
  await assert.rejects(
    exportSysext(repo, base, withEtc, { ...plain, whiteouts: true }),
    /nothing but \/usr and \/opt; there is also: \/etc\/conf/,
  );
  const { leftOut } = await exportSysext(repo, base, withEtc, { ...plain, whiteouts: true, leaveOut: true });
  assert.deepEqual(leftOut, ['/etc/conf']);
  assert.equal(existsSync(join(output, 'etc')), false);
  await assert.rejects(exportSysext(repo, base, next, { ...plain, output: join(scratch, '-x') }), /is no name/);
});
