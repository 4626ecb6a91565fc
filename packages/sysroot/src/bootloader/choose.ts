import type { Sysroot } from '../sysroot.ts';
import { aboot } from './aboot.ts';
import type { Bootloader } from './bootloader.ts';
import { grubMenu } from './grub.ts';
import { grub2, usesGrub2 } from './grub2.ts';
import { syslinux, usesSyslinux } from './syslinux.ts';
import { systemdBoot, usesSystemdBoot } from './systemd-boot.ts';
import { uboot, usesUboot } from './uboot.ts';
import { zipl } from './zipl.ts';

/**
 * Which boot loader has to be written besides the boot entries, if any: the one the config names, or with `auto` the
 * first whose files are on the disk.
 */
export function chooseBootloader(sysroot: Sysroot): Bootloader | null {
  const { bootloader, grubMenu: ownMenu } = sysroot.config;
  const root = sysroot.path;
  switch (bootloader) {
    case 'none':
      return ownMenu ? grubMenu : readsEntries(sysroot);
    case 'grub2':
      return grub2(root, sysroot.grub2);
    case 'syslinux':
      return syslinux;
    case 'uboot':
      return uboot;
    case 'zipl':
      return zipl;
    case 'aboot':
      return aboot;
    case 'auto':
      if (ownMenu) return grubMenu;
      if (usesSyslinux(root)) return syslinux;
      if (usesGrub2(root)) return grub2(root, sysroot.grub2);
      return usesUboot(root) ? uboot : readsEntries(sysroot);
  }
}

/** For boot loaders that read the entries: one of them can be told which to try. */
const readsEntries = (sysroot: Sysroot): Bootloader | null =>
  usesSystemdBoot(sysroot.root) ? systemdBoot(sysroot.root) : null;
