import assert from 'node:assert/strict';
import {
  chmodSync,
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
import { after, describe, test } from 'node:test';
import { KeyFile } from '@atomic/ostree';
import { cleanup } from '../cleanup.ts';
import { readSysrootConfig } from '../config.ts';
import { createSysroot } from '../init.ts';
import { Sysroot, type SysrootOptions } from '../sysroot.ts';
import { aboot, abootArguments } from './aboot.ts';
import { BlsEntry, entryFileName, parseTries } from './bls.ts';
import type { BootUpdate } from './bootloader.ts';
import { joinLines } from './bootloader.ts';
import { chooseBootloader } from './choose.ts';
import { grub2, grub2Section, usesGrub2 } from './grub2.ts';
import { syslinuxConfig, usesSyslinux } from './syslinux.ts';
import { ubootConfig, usesUboot } from './uboot.ts';
import { UPDATE_STAMP, zipl } from './zipl.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-bootloaders-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const SUM = 'a'.repeat(64);
const LINK = `/ostree/boot.1/os/${SUM}/0`;

const first = BlsEntry.parse(
  `title OS 2 (ostree:0)\nversion 2\noptions quiet ostree=${LINK}\nlinux /ostree/os-x/vmlinuz\ninitrd /ostree/os-x/initramfs.img\nfdtdir /ostree/os-x/dtb\n`,
);
const second = BlsEntry.parse(
  'title OS 1 (ostree:1)\nversion 1\noptions single\nlinux /ostree/os-y/vmlinuz\ndevicetree /ostree/os-y/dt\n',
);

let serial = 0;
/** A sysroot with entries of boot version 1 and these files below it. */
function makeDisk(
  files: Record<string, string> = {},
  options: SysrootOptions = {},
  config: Record<string, string> = {},
) {
  const root = join(scratch, `disk-${++serial}`);
  mkdirSync(root);
  createSysroot(root, { epoch: 1 });
  const write = (path: string, text: string) => {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  write('boot/loader.1/entries/ostree-2.conf', first.toString());
  write('boot/loader.1/entries/ostree-1.conf', second.toString());
  for (const [path, text] of Object.entries(files)) write(path, text);
  const lines = Object.entries(config).map(([key, value]) => `${key}=${value}\n`);
  writeFileSync(join(root, 'ostree/repo/config'), `[core]\nrepo_version=1\nmode=bare\n[sysroot]\n${lines.join('')}`);
  const sysroot = Sysroot.open(root, options);
  const update: BootUpdate = { sysroot, bootVersion: 1, deployments: [], entries: [], trial: null };
  return { root, sysroot, update, read: (path: string) => readFileSync(join(root, path), 'utf8') };
}

describe('the config of a sysroot', () => {
  const parse = (text: string) => readSysrootConfig(KeyFile.parse(`[sysroot]\n${text}\n`));
  test('defaults, and what each key means', () => {
    assert.deepEqual(parse(''), {
      bootloader: 'auto',
      bootPrefix: false,
      bootCountingTries: undefined,
      blsAppendExceptDefault: [],
      grubMenu: false,
    });
    const config = parse(
      'bootloader=zipl\nbootprefix=true\nboot-counting-tries=3\nbls-append-except-default=a=b;c=d=e;',
    );
    assert.equal(config.bootloader, 'zipl');
    assert.ok(config.bootPrefix);
    assert.equal(config.bootCountingTries, 3);
    assert.deepEqual(config.blsAppendExceptDefault, [
      ['a', 'b'],
      ['c', 'd=e'],
    ]);
  });
  test('what is no value is refused', () => {
    assert.throws(() => parse('bootloader=lilo'), /Invalid bootloader configuration: 'lilo'/);
    assert.throws(() => parse('boot-counting-tries=6'), /out of bounds/);
    assert.throws(() => parse('boot-counting-tries=-1'), /out of bounds/);
    assert.throws(() => parse('bls-append-except-default=novalue'), /must be of the form/);
  });
});

describe('counted entries', () => {
  test('names say what is left and what was tried', () => {
    assert.deepEqual(parseTries('ostree-2+3-1.conf'), { left: 3, done: 1 });
    assert.deepEqual(parseTries('ostree-2+3.conf'), { left: 3, done: 0 });
    for (const plain of ['ostree-2.conf', 'ostree-2+.conf', 'ostree-2+-1.conf', 'ostree-2+x.conf'])
      assert.deepEqual(parseTries(plain), { left: 0, done: 0 }, plain);
  });
  test('a new entry gets its tries, one that proved itself loses the counter', () => {
    assert.equal(entryFileName(2, 0, { maxTries: 3 }), 'ostree-2+3.conf');
    assert.equal(entryFileName(2, 0, { maxTries: 3, tries: { left: 2, done: 1 } }), 'ostree-2+2-1.conf');
    assert.equal(entryFileName(2, 1, { maxTries: 3, tries: { left: 0, done: 0 } }), 'ostree-1.conf');
    assert.equal(entryFileName(2, 1, { tries: { left: 2, done: 1 } }), 'ostree-1.conf');
    assert.equal(entryFileName(2, 1, { os: 'debian' }), 'ostree-1-debian.conf');
  });
});

describe('SYSLINUX', () => {
  test('our sections are written anew, others stay, and the default follows', () => {
    const current = `DEFAULT OS 0 (ostree:0)\nTIMEOUT 20\n\nLABEL memtest\n\tKERNEL /memtest\n\tAPPEND x\nLABEL OS 0 (ostree:0)\n\tKERNEL /ostree/os-old/vmlinuz\n\tINITRD /old\n`;
    assert.equal(
      syslinuxConfig(current, [first, second], '/boot'),
      `TIMEOUT 20\n\nLABEL memtest\n\tKERNEL /memtest\n\tAPPEND x\nDEFAULT OS 2 (ostree:0)\nLABEL OS 2 (ostree:0)\n\tKERNEL /boot/ostree/os-x/vmlinuz\n\tINITRD /boot/ostree/os-x/initramfs.img\n\tAPPEND quiet ostree=${LINK}\nLABEL OS 1 (ostree:1)\n\tKERNEL /boot/ostree/os-y/vmlinuz\n\tDEVICETREE /boot/ostree/os-y/dt\n\tAPPEND single\n`,
    );
  });
  test('an administrator’s default is not made ours; entries with a prefix get none again', () => {
    const text = syslinuxConfig('DEFAULT memtest\nLABEL memtest\n\tKERNEL /m', [first], '');
    assert.doesNotMatch(text, /DEFAULT/);
    assert.match(text, /^\tKERNEL \/ostree\/os-x\/vmlinuz$/m);
  });
  test('a section without a kernel, and an entry without one, are refused', () => {
    assert.throws(() => syslinuxConfig('LABEL x\n\tAPPEND y\n', [], ''), /No KERNEL argument found after LABEL/);
    assert.throws(() => syslinuxConfig('', [new BlsEntry()], ''), /No "linux" key/);
  });
  test('it is found by its file, a link that leads nowhere yet, and its new file lies beside the entries', async () => {
    const { root, sysroot, update, read } = makeDisk({ 'boot/loader.0/syslinux.cfg': 'TIMEOUT 9\n' });
    assert.ok(!usesSyslinux(root));
    mkdirSync(join(root, 'boot/syslinux'));
    symlinkSync('../loader/syslinux.cfg', join(root, 'boot/syslinux/syslinux.cfg'));
    symlinkSync('loader.0', join(root, 'boot/loader'));
    assert.ok(usesSyslinux(root));
    const chosen = chooseBootloader(sysroot);
    assert.equal(chosen?.name, 'syslinux');
    await chosen?.write?.(update);
    assert.match(read('boot/loader.1/syslinux.cfg'), /^TIMEOUT 9\n+DEFAULT OS 2/);
    assert.equal(read('boot/loader.0/syslinux.cfg'), 'TIMEOUT 9\n', 'what is in use is not touched');
  });
});

describe('U-Boot', () => {
  test('variables are numbered from the second deployment on, and the tree adds its own after the first', () => {
    assert.equal(
      ubootConfig([first, second], () => 'loadfdt=load\n'),
      `kernel_image=/boot/ostree/os-x/vmlinuz\nramdisk_image=/boot/ostree/os-x/initramfs.img\nfdtdir=/boot/ostree/os-x/dtb\nbootargs=quiet ostree=${LINK}\nloadfdt=load\n\nkernel_image2=/boot/ostree/os-y/vmlinuz\nfdt_file2=/boot/ostree/os-y/dt\nbootargs2=single\n`,
    );
    assert.throws(() => ubootConfig([new BlsEntry()]), /No "linux" key/);
  });
  test('the tree’s settings come from where the entry boots, and from nowhere else', async () => {
    const { root, sysroot, update, read } = makeDisk({ [`${LINK}/usr/lib/ostree-boot/uEnv.txt`]: 'mine=1' });
    assert.ok(!usesUboot(root));
    mkdirSync(join(root, 'boot/loader'));
    writeFileSync(join(root, 'boot/loader/uEnv.txt'), '');
    assert.ok(usesUboot(root));
    const chosen = chooseBootloader(sysroot);
    assert.equal(chosen?.name, 'U-Boot');
    await chosen?.write?.(update);
    assert.match(read('boot/loader.1/uEnv.txt'), /^mine=1$/m);
    const outside = first.toString().replace(LINK, `/ostree/boot.1/../../../../etc/${SUM}/0`);
    writeFileSync(join(root, 'boot/loader.1/entries/ostree-2.conf'), outside);
    assert.throws(() => chosen?.write?.(update), /No ostree= kernel argument/);
  });
});

describe('GRUB 2', () => {
  const generator = join(scratch, 'generator');
  writeFileSync(
    generator,
    '#!/bin/sh\nprintf "%s %s %s\\n" "$_OSTREE_GRUB2_BOOTVERSION" "$_OSTREE_GRUB2_IS_EFI" "$(ls $(dirname $2)/entries 2>/dev/null | wc -l)" > "$2"\n',
  );
  chmodSync(generator, 0o755);

  test('the section for grub2-mkconfig', () => {
    const section = grub2Section([first, second], {
      bootDeviceId: 'abc',
      prepareRoot: "insmod ext2\nset root='hd0,1'",
      efi: false,
      suffix: { bios: '16', efi: 'efi' },
    });
    assert.equal(
      section,
      `menuentry 'OS 2 (ostree:0)' --class gnu-linux --class gnu --class os --unrestricted 'ostree-0-abc' {\nload_video\nset gfxpayload=keep\ninsmod gzio\ninsmod ext2\nset root='hd0,1'\nlinux16 /ostree/os-x/vmlinuz quiet ostree=${LINK}\ninitrd16 /ostree/os-x/initramfs.img\n}\nmenuentry 'OS 1 (ostree:1)' --class gnu-linux --class gnu --class os --unrestricted 'ostree-1-abc' {\nload_video\nset gfxpayload=keep\ninsmod gzio\ninsmod ext2\nset root='hd0,1'\nlinux16 /ostree/os-y/vmlinuz single\ndevicetree /ostree/os-y/dt\n}\n`,
    );
    const quoted = grub2Section([BlsEntry.parse("title It's\nlinux /k\n")], {
      bootDeviceId: '',
      prepareRoot: '',
      efi: true,
    });
    assert.match(quoted, /^menuentry 'It'\\''s' /);
  });

  test('the program is told the boot version and writes beside the entries', async () => {
    const { root, sysroot, update, read } = makeDisk({ 'boot/grub2/grub.cfg': '' }, { grub2: { exec: generator } });
    assert.ok(usesGrub2(root));
    const chosen = chooseBootloader(sysroot);
    assert.equal(chosen?.name, 'grub2');
    assert.ok(chosen?.atomic);
    await chosen?.write?.(update);
    assert.equal(read('boot/loader.1/grub.cfg').trim(), '1  2');
  });

  test('a program that fails ends the operation, with what it said', async () => {
    const failing = join(scratch, 'failing');
    writeFileSync(failing, '#!/bin/sh\necho no such device >&2\nexit 3\n');
    chmodSync(failing, 0o755);
    const { root, update } = makeDisk({ 'boot/grub2/grub.cfg': '' });
    await assert.rejects(
      async () => grub2(root, { exec: failing }).write?.(update),
      /exited with code 3: no such device/,
    );
    await assert.rejects(async () => grub2(root, { exec: `${failing}.none` }).write?.(update), { code: 'not-found' });
  });

  test('with UEFI the file is replaced, a copy kept, and the switch is not atomic', async () => {
    const { root, update, read } = makeDisk({
      'boot/efi/EFI/BOOT/grub.cfg': 'fallback',
      'boot/efi/EFI/debian/grub.cfg': 'before',
    });
    const efi = grub2(root, { exec: generator });
    assert.equal(efi.atomic, false);
    await efi.write?.(update);
    assert.equal(read('boot/efi/EFI/debian/grub.cfg').trim(), '1 1 0');
    assert.equal(read('boot/efi/EFI/debian/grub.cfg.old'), 'before');
    assert.ok(!existsSync(join(root, 'boot/efi/EFI/debian/grub.cfg.new')));
    assert.equal(read('boot/efi/EFI/BOOT/grub.cfg'), 'fallback');
  });

  test('a static configuration by bootupd needs no menu', () => {
    const state = (text: string) => makeDisk({ 'boot/grub2/grub.cfg': '', 'boot/bootupd-state.json': text }).root;
    assert.ok(!usesGrub2(state('{"static-configs":{"timestamp":"x"}}')));
    assert.ok(usesGrub2(state('{"static-configs":null}')));
    assert.ok(usesGrub2(state('{}')));
  });
});

describe('zipl and aboot', () => {
  test('a stamp asks for the run after the switch', () => {
    for (const bootloader of [zipl, aboot]) {
      const { root, update } = makeDisk();
      assert.equal(bootloader.write?.(update), undefined);
      assert.ok(existsSync(join(root, UPDATE_STAMP)));
    }
  });
  test('without a stamp nothing is run', async () => {
    const { update } = makeDisk();
    await zipl.afterSwap?.(update);
    await aboot.afterSwap?.(update);
  });
  test('aboot-deploy gets image, configuration and arguments of the first entry', () => {
    const entry = BlsEntry.parse('version 1\nlinux /k\ninitrd /i\noptions quiet\naboot /a.img\nabootcfg /a.cfg\n');
    assert.deepEqual(abootArguments(entry), ['-r', '.', '-c', '/a.cfg', '-o', 'quiet', '/a.img']);
    assert.throws(() => abootArguments(undefined), /no bls config/);
    assert.throws(() => abootArguments(first), /no "aboot" key|no "abootcfg" key/);
  });
});

test('what a loader that was not told of a switch still leads to is not removed', async () => {
  const root = join(scratch, 'not-told');
  mkdirSync(root);
  createSysroot(root, { epoch: 1 });
  writeFileSync(join(root, 'ostree/repo/config'), '[core]\nrepo_version=1\nmode=bare\n[sysroot]\nbootloader=aboot\n');
  mkdirSync(join(root, 'boot/loader.1'), { recursive: true });
  writeFileSync(join(root, UPDATE_STAMP), '');
  await assert.rejects(cleanup(Sysroot.open(root)), /aboot: no bls config/);
  assert.ok(existsSync(join(root, 'boot/loader.1')));
  rmSync(join(root, UPDATE_STAMP));
  await cleanup(Sysroot.open(root));
  assert.equal(existsSync(join(root, 'boot/loader.1')), false);
});

describe('which boot loader', () => {
  test('the config decides; with auto, what is on the disk', () => {
    const chosen = (config: Record<string, string>, files: Record<string, string> = {}) =>
      chooseBootloader(makeDisk(files, {}, config).sysroot)?.name ?? null;
    assert.equal(chosen({}), null);
    assert.equal(chosen({ bootloader: 'none' }, { 'boot/syslinux/syslinux.cfg': '' }), null);
    for (const name of ['grub2', 'syslinux', 'zipl', 'aboot']) assert.equal(chosen({ bootloader: name }), name);
    assert.equal(chosen({ bootloader: 'uboot' }), 'U-Boot');
    assert.equal(chosen({}, { 'boot/grub/grub.cfg': '', 'boot/syslinux/syslinux.cfg': '' }), 'syslinux');
    assert.equal(chosen({}, { 'boot/grub/grub.cfg': '' }), 'grub2');
  });
  test('lines of a file: of empty ones the first', () => {
    assert.equal(joinLines(['', 'a', '', '', 'b', '']), 'a\n\nb\n');
  });
});
