// Images that are no disks, and first boots: a network boot set, an installation medium, cloud-init with a seed disk.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  buildImage,
  buildIso,
  buildPxe,
  composeTree,
  loadTreefile,
  parseInstallConfig,
  treeKargs,
} from '@atomic/compose';
import { Repo } from '@atomic/ostree';
import { Machine, type MachineOptions } from '@atomic/vm';
import { LOGIN } from '../../demo/demo.ts';
import { whatIsMissing } from '../../demo/host.ts';
import { BOOT_SECONDS } from './lab.ts';
import { cachedir, stateFolder } from './setup.ts';

const absent = ['/usr/bin/mksquashfs', '/usr/bin/xorriso', '/usr/bin/grub-mkrescue'].filter(
  (path) => !existsSync(path),
);
const skip =
  process.env['IMAGES_MACHINE'] === undefined
    ? 'boots eight machines: make images-test'
    : (whatIsMissing() ?? (absent.length > 0 ? `missing: ${absent.join(' ')}` : false));

const REF = 'test/images';
const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJEuKnVvNnwQkdzfQbKQd6yBfQsoD8Ikk3gUVCUGkaYI ada@example';
const INSTALL = `
hostname: installed
users: [{ name: ada, groups: [sudo], ssh-keys: ['${KEY}'] }]
files: [{ path: /etc/site.conf, content: "site\\n", mode: "0600" }]
kernel-arguments: [site=1]
`;
const CLOUD = `#cloud-config
users:
  - name: ada
    shell: /bin/bash
    ssh_authorized_keys: ['${KEY}']
`;

describe('images that are started', { skip, timeout: 40 * 60_000 }, () => {
  const folder = stateFolder('images-started');
  const path = (name: string): string => join(folder, name);
  let repo: Repo;
  let commit = '';
  let kargs: string[] = [];
  before(async () => {
    mkdirSync(folder, { recursive: true });
    repo = existsSync(path('repo')) ? Repo.open(path('repo')) : Repo.create(path('repo'), { mode: 'archive' });
    const treefile = loadTreefile(join(import.meta.dirname, 'trees/images.yaml'));
    ({ commit } = await composeTree({ treefile, repo, cachedir }));
    // The kernel's tests of its ciphers have locked up once in an emulated processor.
    kargs = [...treeKargs(repo, commit), 'cryptomgr.notests'];
  });
  after(() => {
    if (process.env['ATOMIC_KEEP'] !== undefined) return;
    for (const name of [
      'pxe',
      'pxe-install',
      'initrd',
      'blank.raw',
      'install.iso',
      'target.raw',
      'cloud.raw',
      'seed.iso',
    ])
      rmSync(path(name), { recursive: true, force: true });
  });
  const login = (machine: Machine) => machine.login({ ...LOGIN, timeoutSeconds: BOOT_SECONDS });
  const blank = (name: string, size: number): MachineOptions => {
    rmSync(path(name), { force: true });
    execFileSync('/usr/bin/truncate', ['-s', String(size), path(name)]);
    return { disk: path(name), format: 'raw', boot: 'loader' };
  };

  test('a network boot set: kernel, initramfs and root image are a host that lives in memory', async () => {
    await buildPxe({ repo, ref: REF, out: path('pxe'), os: 'debian', kargs });
    const parts = ['initrd.img', 'root.img'].map((name) => readFileSync(path(`pxe/${name}`)));
    writeFileSync(path('initrd'), Buffer.concat(parts));
    const append = readFileSync(path('pxe/cmdline'), 'utf8').trim();
    const start = ['-kernel', path('pxe/vmlinuz'), '-initrd', path('initrd'), '-append', append];
    const disk = blank('blank.raw', 16 << 20);
    await using machine = await Machine.start({ ...disk, memoryMiB: 1536, extraArguments: start });
    await login(machine);
    assert.match(await machine.check('atomic host status'), new RegExp(commit));
    assert.match(
      await machine.check('findmnt -no FSTYPE /sysroot; touch /var/x /etc/x && echo written'),
      /overlay\s+written/,
    );
    assert.match(await machine.check('touch /usr/x 2>&1 || true'), /Read-only/);
    await machine.powerOff();
  });

  /** What INSTALL says, on the machine it was installed on. */
  const checkInstalled = async (machine: Machine): Promise<void> => {
    await login(machine);
    assert.match(await machine.check('atomic host status'), new RegExp(commit));
    assert.equal(
      await machine.check('hostname; cat /etc/site.conf; stat -c %a /etc/site.conf'),
      'installed\nsite\n600',
    );
    assert.match(await machine.check('cat /proc/cmdline'), / site=1 /);
    assert.match(await machine.check('id ada'), /\(sudo\)/);
    assert.equal(await machine.check('cat /home/ada/.ssh/authorized_keys'), KEY);
    assert.equal(await machine.check('stat -c "%U %a" /home/ada /home/ada/.ssh | uniq'), 'ada 700');
    assert.equal(await machine.check('systemctl --failed --no-legend'), '');
  };

  test('a network boot set with a configuration installs itself on the disk, powers off, and the disk starts', async () => {
    const config = parseInstallConfig(INSTALL, 'install.yaml');
    await buildPxe({ repo, ref: REF, out: path('pxe-install'), os: 'debian', kargs, config });
    const parts = ['initrd.img', 'root.img'].map((name) => readFileSync(path(`pxe-install/${name}`)));
    writeFileSync(path('initrd'), Buffer.concat(parts));
    const append = readFileSync(path('pxe-install/cmdline'), 'utf8').trim();
    const start = ['-kernel', path('pxe-install/vmlinuz'), '-initrd', path('initrd'), '-append', append];
    const target = blank('target.raw', 3 * 2 ** 30);
    {
      await using machine = await Machine.start({ ...target, memoryMiB: 2048, extraArguments: start });
      assert.equal(await machine.waitExit({ timeoutSeconds: 2 * BOOT_SECONDS }), 'poweroff', machine.consoleLog);
    }
    await using machine = await Machine.start(target);
    await checkInstalled(machine);
    assert.equal((await machine.run('test -e /etc/atomic/installer')).code, 1, 'the installer is not installed');
    await machine.powerOff();
  });

  for (const boot of ['loader', 'uefi'] as const) {
    test(`an installation medium writes the disk by itself, powers off, and the disk starts (${boot})`, async () => {
      const config = parseInstallConfig(INSTALL, 'install.yaml');
      if (!existsSync(path('install.iso')))
        await buildIso({ repo, ref: REF, out: path('install.iso'), os: 'debian', kargs, config });
      const target: MachineOptions = { ...blank('target.raw', 3 * 2 ** 30), boot };
      const drive = `file=${path('install.iso')},format=raw,if=none,id=medium,readonly=on`;
      const medium = ['-drive', drive, '-device', 'virtio-blk-pci,drive=medium,bootindex=0'];
      {
        await using machine = await Machine.start({ ...target, memoryMiB: 1536, extraArguments: medium });
        assert.equal(await machine.waitExit({ timeoutSeconds: 2 * BOOT_SECONDS }), 'poweroff', machine.consoleLog);
      }
      await using machine = await Machine.start(target);
      await checkInstalled(machine);
      await machine.powerOff();
    });
  }

  const seeds: [string, string, Record<string, string>][] = [
    ['NoCloud', 'CIDATA', { 'meta-data': 'instance-id: one\nlocal-hostname: seeded\n', 'user-data': CLOUD }],
    [
      'ConfigDrive',
      'config-2',
      {
        'openstack/latest/meta_data.json': JSON.stringify({ uuid: 'two', hostname: 'seeded' }),
        'openstack/latest/user_data': CLOUD,
      },
    ],
  ];
  for (const [name, label, files] of seeds) {
    test(`cloud-init takes name, user and key from a seed disk (${name})`, async () => {
      const seed = path('seed');
      for (const [file, content] of Object.entries(files)) {
        mkdirSync(join(seed, file, '..'), { recursive: true });
        writeFileSync(join(seed, file), content);
      }
      const made = ['-as', 'mkisofs', '-quiet', '-volid', label, '-joliet', '-rock', '-o', path('seed.iso'), seed];
      execFileSync('/usr/bin/xorriso', made, { stdio: 'pipe' });
      rmSync(seed, { recursive: true });
      await buildImage({
        repo,
        ref: REF,
        out: path('cloud.raw'),
        format: 'raw',
        size: 3 * 2 ** 30,
        os: 'debian',
        kargs,
      });
      const drive = `file=${path('seed.iso')},format=raw,if=virtio,readonly=on`;
      const machine = await Machine.start({
        ...{ disk: path('cloud.raw'), format: 'raw', boot: 'direct', memoryMiB: 768 },
        extraArguments: ['-drive', drive],
      });
      await using _ = machine;
      await login(machine);
      assert.match(
        await machine.check('cloud-init status --wait --long', { timeoutSeconds: 300 }),
        new RegExp(name, 'i'),
      );
      assert.equal(await machine.check('hostname'), 'seeded');
      assert.equal(await machine.check('cat /home/ada/.ssh/authorized_keys'), KEY);
      assert.equal(
        await machine.check('systemctl is-active ssh.service; readlink -f /home/ada'),
        'active\n/var/home/ada',
      );
      await machine.powerOff();
    });
  }
});
