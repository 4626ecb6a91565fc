import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { compressRuntime, requireSquashfs } from './compressed-runtime.ts';
import { installRuntime, type Runtime } from './runtime.ts';

const skip = existsSync('/usr/bin/mksquashfs') ? false : 'needs squashfs-tools';

describe('a compressed runtime', { skip }, () => {
  const work = mkdtempSync(join(tmpdir(), 'atomic-squashfs-'));
  after(() => rmSync(work, { recursive: true, force: true }));
  const file = (content: string, mode = 0o644) => ({ content: Buffer.from(content), mode });
  const runtime: Runtime = {
    files: new Map([
      ['usr/lib/atomic/node', file('a program\n'.repeat(100_000), 0o755)],
      ['usr/lib/atomic/atomic.cjs', file('code')],
      ['usr/lib/atomic/worker.cjs', file('code')],
      ['usr/lib/atomic/node_modules/koffi/index.js', file('more')],
      ['usr/bin/atomic', file('replaced', 0o755)],
      ['usr/bin/ostree', file('replaced', 0o755)],
      ['usr/lib/systemd/system/atomic-x.service', file('[Install]\nWantedBy=multi-user.target\n')],
    ]),
    digest: 'd'.repeat(64),
  };

  test('the program is one file, the same each time; what else there is stays', async () => {
    const { files } = await compressRuntime(runtime, join(work, 'cache'), {});
    const again = await compressRuntime(runtime, join(work, 'other'), {});
    const image = files.get('usr/lib/atomic/runtime.squashfs')?.content;
    assert.ok(image !== undefined && image.length < 100_000);
    assert.ok(again.files.get('usr/lib/atomic/runtime.squashfs')?.content.equals(image));
    assert.ok(!files.has('usr/lib/atomic/node'));
    assert.ok(files.has('usr/lib/systemd/system/atomic-x.service'));
    writeFileSync(join(work, 'image'), image);
    execFileSync('unsquashfs', ['-quiet', '-no-progress', '-d', join(work, 'out'), join(work, 'image')], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    assert.equal(readFileSync(join(work, 'out/node_modules/koffi/index.js'), 'utf8'), 'more');
    assert.equal(readFileSync(join(work, 'out/node')).length, 1_000_000);
    const listing = execFileSync('unsquashfs', ['-lln', join(work, 'image')], { encoding: 'utf8' });
    assert.match(listing, /^-rwxr-xr-x 0\/0 .* 1970-01-01 .*\/node$/m);
    const root = join(work, 'root');
    installRuntime(root, { files, digest: runtime.digest });
    assert.ok(existsSync(join(root, 'usr/lib/systemd/system/local-fs.target.wants/usr-lib-atomic-runtime.mount')));
    assert.match(readFileSync(join(root, 'usr/bin/ostree'), 'utf8'), /runtime\/atomic\.cjs ostree "\$@"/);
    execFileSync('sh', ['-n', join(root, 'usr/bin/atomic')]);
  });

  test('a kernel that could not mount it is refused', () => {
    const folder = join(work, 'tree/usr/lib/modules/6.1');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'modules.dep'), 'kernel/fs/squashfs/squashfs.ko:\n');
    assert.throws(() => requireSquashfs(join(work, 'tree'), '6.1'), /kernel has no loop$/);
    writeFileSync(join(folder, 'modules.builtin'), 'kernel/drivers/block/loop.ko\n');
    requireSquashfs(join(work, 'tree'), '6.1');
    assert.throws(() => requireSquashfs(join(work, 'tree'), undefined), /no squashfs and no loop/);
  });
});
