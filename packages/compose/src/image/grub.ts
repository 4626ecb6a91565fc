import { accessSync } from 'node:fs';
import { copyFile, mkdir, open, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { writeEsp } from './esp.ts';
import type { Layout } from './partitions.ts';
import { run } from './tools.ts';

const SECTOR = 512;

export type Firmware = 'bios' | 'uefi';

interface Platform {
  name: string;
  debianPackage: string;
  modules: string[];
}

// No more than what reads a menu from ext4 on GPT: the core must fit its partition.
const COMMON =
  'part_gpt ext2 search search_fs_uuid normal configfile linux loadenv echo test sleep serial terminal minicmd reboot halt';
const PLATFORMS: Record<Firmware, Platform> = {
  bios: { name: 'i386-pc', debianPackage: 'grub-pc-bin', modules: ['biosdisk', ...COMMON.split(' ')] },
  uefi: { name: 'x86_64-efi', debianPackage: 'grub-efi-amd64-bin', modules: ['fat', ...COMMON.split(' ')] },
};

function moduleFolder(firmware: Firmware): string {
  return `/usr/lib/grub/${PLATFORMS[firmware].name}`;
}

/** Throws AtomicError 'unsupported' when GRUB's modules for a firmware are not installed. */
export function requireGrub(firmware: readonly Firmware[]): void {
  for (const kind of firmware) {
    try {
      accessSync(join(moduleFolder(kind), 'normal.mod'));
    } catch {
      const { name, debianPackage } = PLATFORMS[kind];
      throw new AtomicError('unsupported', `cannot make a disk image: GRUB for ${name} is not installed`, {
        hint: `apt-get install ${debianPackage}`,
      });
    }
  }
}

/**
 * The script built into GRUB. It only finds /boot and hands over to the menu beside the boot entries: that
 * file changes with them in one rename, so the menu and the deployments cannot disagree. A partition of its own has a
 * link named boot to itself, so paths are the same on it and on the root.
 */
function embeddedScript(bootUuid: string): string {
  return [
    'serial --unit=0 --speed=115200',
    'terminal_input serial console',
    'terminal_output serial console',
    `search --no-floppy --fs-uuid --set=root ${bootUuid}`,
    'set prefix=($root)/boot/grub',
    'configfile ($root)/boot/loader/grub.cfg',
    'echo "There is no boot menu on this disk."',
    '',
  ].join('\n');
}

async function makeCore(firmware: Firmware, bootUuid: string, folder: string, signal?: AbortSignal): Promise<string> {
  const { name, modules } = PLATFORMS[firmware];
  const script = join(folder, `${name}.cfg`);
  const core = join(folder, `${name}.img`);
  await writeFile(script, embeddedScript(bootUuid));
  const args = ['-d', moduleFolder(firmware), '-O', name, '-o', core, '-p', '/boot/grub', '-c', script];
  await run('grub-mkimage', [...args, ...modules], { signal });
  return core;
}

async function installBios(image: string, layout: Layout, core: string): Promise<void> {
  const size = (await stat(core)).size;
  if (size > layout.bios.length)
    throw new AtomicError('failed', `GRUB's core of ${size} bytes does not fit its partition`);
  // Offsets: include/grub/i386/pc/boot.h of GRUB. grub-install would do this, but wants partition device nodes.
  const boot = await readFile(join(moduleFolder('bios'), 'boot.img'));
  const coreSector = BigInt(layout.bios.offset / SECTOR);
  boot.writeBigUInt64LE(coreSector, 0x5c); // where the core begins
  boot.writeUInt8(0xff, 0x64); // on the disk we were loaded from
  boot.writeUInt16LE(0x9090, 0x66); // and trust the firmware's disk number
  const content = await readFile(core);
  content.writeBigUInt64LE(coreSector + 1n, 0x1f4); // the core's first sector: where its rest lies
  const file = await open(image, 'r+');
  try {
    await file.write(boot, 0, 440, 0); // what follows is the partition table's
    await file.write(content, 0, content.length, layout.bios.offset);
  } finally {
    await file.close();
  }
}

async function installUefi(image: string, layout: Layout, core: string, folder: string, signal?: AbortSignal) {
  const tree = join(folder, 'EFI/BOOT');
  await mkdir(tree, { recursive: true });
  await copyFile(core, join(tree, 'BOOTX64.EFI'));
  await writeEsp({ image, range: layout.esp, folder, entries: ['EFI'], signal });
}

export interface InstallGrubOptions {
  image: string;
  layout: Layout;
  /** Of the file system that has the menu: /boot's own, or the root. */
  bootUuid: string;
  firmware: readonly Firmware[];
  /** An empty folder for intermediate files. */
  scratch: string;
  signal?: AbortSignal | undefined;
}

/** Put GRUB on the image for each firmware, so that it takes the menu the deployment wrote. */
export async function installGrub(options: InstallGrubOptions): Promise<void> {
  for (const firmware of options.firmware) {
    const core = await makeCore(firmware, options.bootUuid, options.scratch, options.signal);
    if (firmware === 'bios') await installBios(options.image, options.layout, core);
    else await installUefi(options.image, options.layout, core, options.scratch, options.signal);
  }
}
