// A /boot that is nearly full: what is on its way out goes first, and what cannot fit is refused before anything changes.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { commitTree, Repo, stringVariant } from '@atomic/ostree';
import { deploy, initStateroot, initSysroot, makeOrigin, Sysroot, setPinned } from '@atomic/sysroot';

const MIB = 1 << 20;

function canMount(): string | false {
  if (process.geteuid?.() !== 0) return 'needs root';
  const folder = mkdtempSync(join(tmpdir(), 'atomic-probe-'));
  try {
    makeFileSystem(join(folder, 'image'), 2);
    mkdirSync(join(folder, 'at'));
    const mounted = spawnSync('mount', ['-o', 'loop', join(folder, 'image'), join(folder, 'at')]).status === 0;
    if (mounted) execFileSync('umount', [join(folder, 'at')]);
    return mounted ? false : 'no loop devices here';
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function makeFileSystem(path: string, mib: number): void {
  writeFileSync(path, '');
  truncateSync(path, mib * MIB);
  execFileSync('mkfs.ext4', ['-q', '-F', '-O', '^has_journal', path]);
}

describe('a small /boot', { skip: canMount() }, () => {
  let folder = '';
  let root = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'atomic-boot-space-'));
    root = join(folder, 'root');
    mkdirSync(join(root, 'boot'), { recursive: true });
    makeFileSystem(join(folder, 'boot.img'), 24);
    execFileSync('mount', ['-o', 'loop', join(folder, 'boot.img'), join(root, 'boot')]);
    initSysroot(root, { bootPrefix: false, bootloader: 'none' });
    initStateroot(open(), 'os');
  });
  afterEach(() => {
    execFileSync('umount', [join(root, 'boot')]);
    spawnSync('chattr', ['-R', '-i', folder]);
    rmSync(folder, { recursive: true });
  });

  const open = () => Sysroot.open(root, { mutableDeployments: true });

  /** A tree whose kernel and initramfs take so many MiB each. */
  async function commit(version: string, mib: number): Promise<string> {
    const tree = join(folder, `tree-${version}`);
    const write = (path: string, content: string | Buffer) => {
      mkdirSync(dirname(join(tree, path)), { recursive: true });
      writeFileSync(join(tree, path), content);
    };
    write('usr/lib/modules/6.1/vmlinuz', Buffer.alloc(mib * MIB, `kernel ${version}`));
    write('usr/lib/modules/6.1/initramfs.img', Buffer.alloc(mib * MIB, `initramfs ${version}`));
    write('usr/lib/os-release', 'ID=tiny\n');
    write('usr/etc/hostname', 'tiny\n');
    const repo = Repo.open(join(root, 'ostree/repo'));
    const metadata = new Map([['version', stringVariant(version)]]);
    return (await commitTree(repo, { trees: [{ dir: tree }], branch: `v/${version}`, metadata })).commit;
  }

  const put = async (version: string, mib: number, sysroot = open(), stage = false) =>
    await deploy(sysroot, { os: 'os', rev: await commit(version, mib), origin: makeOrigin('v'), stage });
  const versions = () =>
    open()
      .load()
      .deployments.map(({ version }) => version);
  const kernels = () => readdirSync(join(root, 'boot/ostree')).length;
  const entries = () =>
    readdirSync(join(root, 'boot/loader/entries')).map((name) =>
      readFileSync(join(root, 'boot/loader/entries', name), 'utf8'),
    );
  const trees = () => readdirSync(join(root, 'ostree/deploy/os/deploy')).sort();

  test('what is given up anyway makes room', async () => {
    for (const version of ['1', '2', '3', '4']) await put(version, 4);
    assert.deepEqual(versions(), ['4', '3']);
    assert.equal(kernels(), 2);
  });

  test('what cannot fit is refused with what to do, and the version to go back to stays', async () => {
    await put('1', 4);
    await put('2', 4);
    const before = [entries(), trees()];
    await assert.rejects(put('3', 10), (error: Error & { code?: string; hint?: string }) => {
      assert.equal(error.code, 'no-space');
      const found = /need 21\.0 MiB, ([\d.]+) MiB can be had; free ([\d.]+) MiB more/.exec(error.message);
      assert.ok(found, error.message);
      assert.ok(Math.abs(Number(found[1]) + Number(found[2]) - 21) < 0.15, 'the two add up');
      assert.match(error.hint ?? '', /8\.0 MiB deployment 0 \(2\)/);
      return true;
    });
    assert.deepEqual([entries(), trees()], before);
    assert.equal(kernels(), 2);
    assert.deepEqual(
      readdirSync(join(root, 'boot')).filter((name) => name.startsWith('loader')),
      ['loader', existsSync(join(root, 'boot/loader.0')) ? 'loader.0' : 'loader.1'],
    );
  });

  test('pinned deployments and other files are named', async () => {
    const sysroot = open();
    await put('1', 4, sysroot);
    const [first] = sysroot.load().deployments;
    assert.ok(first);
    await setPinned(sysroot, first, true);
    await put('2', 2);
    writeFileSync(join(root, 'boot/memtest.bin'), Buffer.alloc(6 * MIB));
    await assert.rejects(put('3', 4), ({ hint }: Error & { hint?: string }) => {
      assert.match(hint ?? '', /8\.0 MiB deployment 1 \(1\): ostree admin pin --unpin 1, then ostree admin undeploy 1/);
      assert.match(hint ?? '', /6\.0 MiB \S+\/boot\/memtest\.bin, which is no deployment's/);
      return true;
    });
    rmSync(join(root, 'boot/memtest.bin'));
    await put('3', 2);
    assert.deepEqual(versions(), ['3', '2', '1']);
  });

  test('staging finds out, not the shutdown', async () => {
    await put('1', 4);
    const run = join(folder, 'run');
    mkdirSync(join(run, 'ostree'), { recursive: true });
    writeFileSync(join(run, 'ostree-booted'), '');
    const [first] = open().load().deployments;
    assert.ok(first);
    const started: string[] = [];
    const booted = Sysroot.open(root, {
      run,
      root: join(root, first.path),
      mutableDeployments: true,
      system: { startUnit: async (unit) => void started.push(unit), reboot: async () => {} },
    });
    await assert.rejects(put('2', 10, booted, true), { code: 'no-space' });
    assert.equal(existsSync(join(run, 'ostree/staged-deployment')), false);
    assert.deepEqual([trees().filter((name) => !name.endsWith('.origin')).length, started], [1, []]);
    await put('3', 4, booted, true);
    assert.deepEqual(started.length, 1);
  });
});
