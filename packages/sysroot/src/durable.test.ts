import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { flushForBoot, removeTree, replaceSymlink } from './durable.ts';

const has = (tool: string) => spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0;
const missing = ['mkfs.ext4', 'debugfs', 'fsfreeze', 'strace'].filter((tool) => !has(tool));
const scratch = mkdtempSync(join(tmpdir(), 'atomic-durable-'));
const image = join(scratch, 'image');
const folder = join(scratch, 'mnt');
let mounted = false;

before(() => {
  if (process.getuid?.() !== 0 || missing.length > 0) return;
  writeFileSync(image, '');
  execFileSync('truncate', ['-s', '32M', image]);
  execFileSync('mkfs.ext4', ['-q', image]);
  mkdirSync(folder);
  mounted = spawnSync('mount', ['-o', 'loop', image, folder]).status === 0;
});
after(() => {
  if (mounted) {
    spawnSync('fsfreeze', ['-u', folder]); // in case a test left it so
    execFileSync('umount', [folder]);
  }
  rmSync(scratch, { recursive: true, force: true });
});

const skip = process.getuid?.() !== 0 ? 'needs root' : missing.length > 0 ? `needs ${missing.join(', ')}` : false;

describe('what a boot loader sees', { skip }, () => {
  /** Reads the disk as GRUB does: without replaying the journal. */
  const onDisk = () =>
    execFileSync('debugfs', ['-c', '-R', 'stat /loader', image], { encoding: 'utf8', stdio: 'pipe' });

  test('a swap is on disk, not only in the journal, when the flush returns', async (t) => {
    if (!mounted) return t.skip('needs loop mounts');
    symlinkSync('loader.0', join(folder, 'loader'));
    await flushForBoot(folder, true);
    assert.match(onDisk(), /Fast link dest: "loader.0"/);
    replaceSymlink('loader.1', join(folder, 'loader.tmp'));
    renameSync(join(folder, 'loader.tmp'), join(folder, 'loader'));
    await flushForBoot(folder, true);
    assert.match(onDisk(), /Fast link dest: "loader.1"/);
    writeFileSync(join(folder, 'after'), 'the file system is thawed');
  });

  test('killed while it is frozen, the file system thaws by itself', (t) => {
    if (!mounted) return t.skip('needs loop mounts');
    const script = join(scratch, 'flush.ts');
    writeFileSync(
      script,
      'const { flushForBoot } = await import(process.argv[2]); await flushForBoot(process.argv[3], true);',
    );
    const trace = join(scratch, 'trace');
    const run = (...inject: string[]) =>
      spawnSync('strace', [
        ...['-qq', '-o', trace, '-e', 'trace=ioctl', ...inject],
        ...[process.execPath, script, import.meta.resolve('./durable.ts'), folder],
      ]);
    assert.equal(run().status, 0);
    const calls = readFileSync(trace, 'utf8').split('\n');
    const thawing = calls.findIndex((line) => line.includes('FITHAW'));
    assert.ok(thawing > 0 && calls[thawing - 1]?.includes('FIFREEZE'), 'the trace shows freeze, then thaw');
    run('-e', `inject=ioctl:signal=SIGKILL:when=${thawing + 1}`);
    assert.match(readFileSync(trace, 'utf8'), /FIFREEZE[^\n]*= 0\n(?:.*FITHAW.*\n)?.*killed by SIGKILL/);
    const write = spawnSync('timeout', ['10', 'sh', '-c', 'echo whole > "$0"', join(folder, 'thawed')]);
    assert.equal(write.status, 0, 'writing works again');
  });
});

test('a tree goes whatever the modes of its folders are, and nothing outside of it changes', () => {
  const root = process.geteuid?.() === 0;
  chmodSync(scratch, 0o777);
  // Root is kept out of nothing.
  if (root) process.seteuid?.(65534);
  try {
    const [tree, outside] = [join(scratch, 'closed'), join(scratch, 'outside')];
    mkdirSync(outside, { mode: 0o555 });
    mkdirSync(join(tree, 'a/b/c'), { recursive: true });
    writeFileSync(join(tree, 'a/b/c/file'), '');
    symlinkSync(outside, join(tree, 'a/link'));
    for (const [path, mode] of [
      ['a/b/c', 0o555],
      ['a/b', 0o111],
      ['a', 0],
      ['', 0o311],
    ] as const)
      chmodSync(join(tree, path), mode);
    removeTree(tree);
    assert.ok(!existsSync(tree));
    assert.equal(lstatSync(outside).mode & 0o7777, 0o555);
  } finally {
    if (root) process.seteuid?.(0);
  }
});
