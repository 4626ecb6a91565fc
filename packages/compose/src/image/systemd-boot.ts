import { accessSync } from 'node:fs';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { writeEsp } from './esp.ts';
import type { Layout } from './partitions.ts';

/** What the loader's partition gets from this machine, and the Debian packages that have it. */
const LOADER = '/usr/lib/systemd/boot/efi/systemd-bootx64.efi';
const EXT4_DRIVER = '/usr/share/refind/refind/drivers_x64/ext4_x64.efi';

/** Throws AtomicError 'unsupported' when the loader, or the driver by which it reads /boot, is not installed. */
export function requireSystemdBoot(): void {
  const missing = [
    [LOADER, 'systemd-boot-efi'],
    [EXT4_DRIVER, 'refind'],
  ].filter(([path = '']) => {
    try {
      accessSync(path);
      return false;
    } catch {
      return true;
    }
  });
  if (missing.length === 0) return;
  throw new AtomicError('unsupported', `cannot make a disk image: ${missing[0]?.[0]} is not there`, {
    hint: `apt-get install --no-install-recommends ${missing.map(([, name]) => name).join(' ')}`,
  });
}

/**
 * Put systemd-boot on the image's EFI partition. Entries and kernels are on a /boot of its own (XBOOTLDR), which has
 * the symbolic links that FAT lacks; UEFI reads it by a driver that lies beside the loader.
 */
export async function installSystemdBoot(options: {
  image: string;
  layout: Layout;
  /** An empty folder for intermediate files. */
  scratch: string;
  signal?: AbortSignal | undefined;
}): Promise<void> {
  const { image, layout, scratch: folder, signal } = options;
  const drivers = join(folder, 'EFI/systemd/drivers');
  await mkdir(join(folder, 'EFI/BOOT'), { recursive: true });
  await mkdir(drivers, { recursive: true });
  await mkdir(join(folder, 'loader'));
  await copyFile(LOADER, join(folder, 'EFI/BOOT/BOOTX64.EFI'));
  await copyFile(EXT4_DRIVER, join(drivers, 'ext4_x64.efi'));
  await writeFile(join(folder, 'loader/loader.conf'), 'timeout 1\nconsole-mode keep\neditor no\n');
  await writeEsp({ image, range: layout.esp, folder, entries: ['EFI', 'loader'], signal });
}
