// Disk images of a tiny tree: what stock tools find on them, and what a failure leaves behind (nothing).
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BuildImageOptions, buildImage } from '@atomic/compose';
import { commitTree, Repo, stringVariant } from '@atomic/ostree';
import { partitionRange, readBootEntries } from '@atomic/vm';
import { LoopPartition } from '../../packages/compose/src/image/mounted.ts';

const needed = [
  '/usr/sbin/sfdisk',
  '/usr/bin/grub-mkimage',
  '/usr/bin/ostree',
  '/usr/bin/qemu-img',
  '/usr/lib/grub/i386-pc',
];
const absent = needed.filter((path) => !existsSync(path));
const skip = process.geteuid?.() !== 0 ? 'needs root' : absent.length > 0 ? `missing: ${absent.join(' ')}` : false;
const REF = 'test/tiny';

describe('disk images', { skip, timeout: 120_000 }, () => {
  let folder = '';
  let repo: Repo;
  let commit = '';
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'atomic-images-'));
    const tree = join(folder, 'tree');
    const write = (path: string, content: string | Buffer) => {
      mkdirSync(dirname(join(tree, path)), { recursive: true });
      writeFileSync(join(tree, path), content);
    };
    write('usr/lib/modules/6.1.0-test/vmlinuz', 'a kernel');
    write('usr/lib/modules/6.1.0-test/initramfs.img', 'an initramfs');
    write('usr/lib/os-release', 'ID=debian\nPRETTY_NAME="Tiny"\n');
    write('usr/etc/hostname', 'tiny\n');
    write('usr/share/large', Buffer.alloc(4 << 20, 'x'));
    for (const name of ['boot', 'var', 'sysroot', 'proc', 'sys', 'dev', 'run', 'tmp']) mkdirSync(join(tree, name));
    repo = Repo.create(join(folder, 'repo'), { mode: 'archive' });
    const metadata = new Map([['version', stringVariant('7')]]);
    commit = (await commitTree(repo, { trees: [{ dir: tree }], branch: REF, metadata })).commit;
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const options = (name: string): BuildImageOptions => ({
    repo,
    ref: REF,
    out: join(folder, name),
    format: 'raw',
    size: 512 << 20,
    os: 'tiny',
    kargs: ['rw', 'console=ttyS0'],
    remote: { name: 'origin', url: 'http://10.0.2.2:1/' },
  });
  const nothingLeft = async (name: string) => {
    assert.deepEqual(
      readdirSync(folder).filter((file) => file.includes(name)),
      [],
    );
    // What is still mounted keeps its loop. A sandbox that somebody starts meanwhile copies the mounts there are; the
    // kernel frees the loop when that ends.
    const held = () => {
      const loops = execFileSync('/usr/sbin/losetup', ['-l', '-n', '-O', 'BACK-FILE']).toString();
      return loops.includes(folder) ? loops : '';
    };
    for (let tries = 0; held() !== '' && tries < 60; tries++) await sleep(500);
    assert.equal(held(), '');
  };

  test('has one deployment that stock ostree knows and the loader takes', async () => {
    const result = await buildImage(options('disk.raw'));
    assert.deepEqual([result.commit, result.version], [commit, '7']);
    assert.ok(result.allocated < result.size / 4, 'it is sparse');
    const [entry, ...others] = await readBootEntries(result.out);
    assert.equal(others.length, 0);
    assert.match(
      entry?.options ?? '',
      /^root=UUID=\S+ rw console=ttyS0 ostree=\/ostree\/boot\.[01]\/tiny\/[0-9a-f]{64}\/0$/,
    );
    {
      await using loop = await LoopPartition.attach(result.out, await partitionRange(result.out));
      execFileSync('/sbin/e2fsck', ['-fn', loop.device], { stdio: 'pipe' });
      const root = await loop.mount();
      const status = execFileSync('/usr/bin/ostree', ['admin', 'status', `--sysroot=${root}`]).toString();
      assert.match(status, new RegExp(`tiny ${commit}\\.0`));
      assert.match(status, /origin refspec: origin:test\/tiny/);
      execFileSync('/usr/bin/ostree', ['fsck', '-q', `--repo=${root}/ostree/repo`], { stdio: 'pipe' });
      const remote = execFileSync('/usr/bin/ostree', ['remote', 'show-url', 'origin', `--repo=${root}/ostree/repo`]);
      assert.equal(remote.toString().trim(), 'http://10.0.2.2:1/');
      const menu = readFileSync(join(root, 'boot/loader/grub.cfg'), 'utf8');
      assert.ok(menu.includes(entry?.options ?? '?'), 'the menu says what the entry says');
      assert.ok(existsSync(join(root, entry?.linux ?? '?')), 'the kernel is where the entry says');
    }
    const [gpt] = [execFileSync('/usr/sbin/sfdisk', ['--verify', result.out]).toString()];
    assert.match(gpt, /No errors detected/);
    // The boot sector's code is there, and so is the partition table's signature behind it.
    const sector = readFileSync(result.out).subarray(0, 512);
    assert.equal(sector.subarray(510).toString('hex'), '55aa');
    assert.ok(sector.subarray(0, 440).some((byte) => byte !== 0));
    rmSync(result.out);
    await nothingLeft('disk.raw');
  });

  test('as qcow2, replacing what was there', async () => {
    const out = join(folder, 'disk.qcow2');
    writeFileSync(out, 'old');
    await buildImage({ ...options('disk.qcow2'), format: 'qcow2' });
    const info: unknown = JSON.parse(execFileSync('/usr/bin/qemu-img', ['info', '--output=json', out]).toString());
    assert.ok(typeof info === 'object' && info !== null && 'format' in info && info.format === 'qcow2');
    execFileSync('/usr/bin/qemu-img', ['check', '-q', out]);
    rmSync(out);
    await nothingLeft('disk.qcow2');
  });

  test('as vmdk, and as an appliance whose parts are what its descriptor and manifest say', async () => {
    const { out } = await buildImage({ ...options('disk.vmdk'), format: 'vmdk' });
    const info: unknown = JSON.parse(execFileSync('/usr/bin/qemu-img', ['info', '--output=json', out]).toString());
    assert.match(JSON.stringify(info), /"create-type": ?"streamOptimized"/);
    rmSync(out);
    const ova = join(folder, 'tiny.ova');
    await buildImage({ ...options('tiny.ova'), format: 'ova' });
    const list = execFileSync('/usr/bin/tar', ['-tf', ova]).toString().trim().split('\n');
    assert.deepEqual(list, ['tiny.ovf', 'tiny.mf', 'tiny-disk1.vmdk'], 'the descriptor comes first');
    const parts = join(folder, 'parts');
    mkdirSync(parts);
    execFileSync('/usr/bin/tar', ['-C', parts, '-xf', ova]);
    const sums = readFileSync(join(parts, 'tiny.mf'), 'utf8').replace(/^SHA256\((.*)\)= (.*)$/gm, '$2  $1');
    execFileSync('/usr/bin/sha256sum', ['-c', '--strict'], {
      cwd: parts,
      input: sums,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const descriptor = readFileSync(join(parts, 'tiny.ovf'), 'utf8');
    assert.ok(descriptor.includes(`ovf:size="${statSync(join(parts, 'tiny-disk1.vmdk')).size}"`));
    assert.ok(descriptor.includes(`ovf:capacity="${512 << 20}"`));
    const wellFormed = 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])';
    execFileSync('/usr/bin/python3', ['-c', wellFormed, join(parts, 'tiny.ovf')]);
    const raw = join(parts, 'back.raw');
    execFileSync('/usr/bin/qemu-img', ['convert', '-O', 'raw', join(parts, 'tiny-disk1.vmdk'), raw]);
    assert.match(execFileSync('/usr/sbin/sfdisk', ['--verify', raw]).toString(), /No errors detected/);
    rmSync(parts, { recursive: true });
    rmSync(ova);
    await nothingLeft('tiny.ova');
  });

  const uefi = existsSync('/usr/lib/grub/x86_64-efi/normal.mod') ? false : 'grub-efi-amd64-bin is not installed';
  test('for UEFI: the loader lies where firmware looks for it', { skip: uefi }, async () => {
    const { out } = await buildImage({ ...options('uefi.raw'), firmware: ['bios', 'uefi'] });
    const { offset } = await partitionRange(out, 'esp');
    const listing = execFileSync('/usr/bin/mdir', ['-b', '-i', `${out}@@${offset}`, '::/EFI/BOOT']).toString();
    assert.match(listing, /BOOTX64\.EFI/);
    rmSync(out);
  });

  test('/boot of its own, for GRUB: entries and kernels are on it, and the system mounts it', async () => {
    const { out } = await buildImage({ ...options('boot.raw'), bootSize: 64 << 20 });
    const [entry] = await readBootEntries(out);
    assert.match(entry?.linux ?? '', /^\/ostree\/tiny-/);
    await using rootLoop = await LoopPartition.attach(out, await partitionRange(out));
    await using bootLoop = await LoopPartition.attach(out, await partitionRange(out, 'boot'));
    const root = await rootLoop.mount();
    await bootLoop.mount(join(root, 'boot'));
    assert.ok(existsSync(join(root, 'boot', entry?.linux ?? '?')));
    assert.ok(existsSync(join(root, 'boot/loader/grub.cfg')));
    const status = execFileSync('/usr/bin/ostree', ['admin', 'status', `--sysroot=${root}`]).toString();
    assert.match(status, new RegExp(`tiny ${commit}\\.0`));
    const uuid = execFileSync('/sbin/blkid', ['-o', 'value', '-s', 'UUID', bootLoop.device]).toString().trim();
    const fstab = readFileSync(join(root, `ostree/deploy/tiny/deploy/${commit}.0/etc/fstab`), 'utf8');
    assert.match(fstab, new RegExp(`^UUID=${uuid} /boot ext4 `, 'm'));
    rmSync(out);
  });

  const loader = ['/usr/lib/systemd/boot/efi/systemd-bootx64.efi', '/usr/share/refind/refind/drivers_x64/ext4_x64.efi'];
  const noLoader = loader.filter((path) => !existsSync(path));
  test('for systemd-boot: the loader, what lets it read /boot, and entries without a menu', {
    skip: noLoader.length === 0 ? false : `missing: ${noLoader.join(' ')}`,
  }, async () => {
    const { out } = await buildImage({ ...options('sd.raw'), bootloader: 'systemd-boot', bootSize: 64 << 20 });
    const { offset } = await partitionRange(out, 'esp');
    const listing = execFileSync('/usr/bin/mdir', ['-b', '-/', '-i', `${out}@@${offset}`, '::/']).toString();
    for (const file of ['EFI/BOOT/BOOTX64.EFI', 'EFI/systemd/drivers/ext4_x64.efi', 'loader/loader.conf'])
      assert.ok(listing.includes(file), `${file} is not in ${listing}`);
    assert.equal((await readBootEntries(out)).length, 1);
    await using loop = await LoopPartition.attach(out, await partitionRange(out, 'boot'));
    const boot = await loop.mount();
    assert.equal(existsSync(join(boot, 'loader/grub.cfg')), false);
    rmSync(out);
  });

  test('a disk too small for the tree', async () => {
    const large = join(folder, 'large');
    mkdirSync(large);
    writeFileSync(join(large, 'big'), Buffer.alloc(260 << 20, 'y'));
    await commitTree(repo, { trees: [{ ref: REF }, { dir: large }], branch: 'test/big' });
    const made = buildImage({ ...options('small.raw'), ref: 'test/big', size: 256 << 20 });
    await assert.rejects(made, (error) => error instanceof Error && 'code' in error && error.code === 'no-space');
    await nothingLeft('small.raw');
  });

  test('an abort at any phase leaves nothing', async () => {
    for (const at of ['partition', 'format', 'pull', 'deploy', 'boot loader']) {
      const controller = new AbortController();
      const made = buildImage({
        ...options('aborted.raw'),
        signal: controller.signal,
        progress: ({ phase }) => {
          if (phase === at) controller.abort(new Error(`stopped at ${at}`));
        },
      });
      await assert.rejects(made, /stopped at|interrupted/);
      await nothingLeft('aborted.raw');
    }
  });

  test('bad input', async () => {
    await assert.rejects(buildImage({ ...options('x.raw'), ref: 'no/such' }), /no\/such/);
    await assert.rejects(buildImage({ ...options('x.raw'), out: join(folder, 'none/x.raw') }), /no such folder/);
    await assert.rejects(buildImage({ ...options('x.raw'), out: folder }), /is not a file/);
    await assert.rejects(buildImage({ ...options('x.raw'), size: 1000 }), /too small/);
    await assert.rejects(buildImage({ ...options('x.raw'), bootSize: 1000 }), /boot of 1000 bytes is too small/);
    const systemdBoot = { ...options('x.raw'), bootloader: 'systemd-boot' } as const;
    await assert.rejects(buildImage({ ...systemdBoot, firmware: ['bios'] }), /does not start from BIOS/);
    await assert.rejects(buildImage({ ...systemdBoot, bootSize: 0 }), /partition of its own/);
    await nothingLeft('x.raw');
  });
});
