import { accessSync } from 'node:fs';
import { copyFile, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { arch } from 'node:os';
import { join } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { writeEsp } from './esp.ts';
import type { Layout } from './partitions.ts';
import { run } from './tools.ts';

const SECTOR = 512;

export type Firmware = 'bios' | 'uefi';

interface Platform {
  name: string;
  /** What UEFI firmware starts from a disk. */
  efi: string;
  debianPackage: string;
  modules: string[];
}

// No more than what reads a menu from ext4 on GPT: the core must fit its partition.
const COMMON =
  'part_gpt ext2 search search_fs_uuid normal configfile linux loadenv echo test sleep serial terminal minicmd reboot halt';
const UEFI_MODULES = ['fat', ...COMMON.split(' ')];
const PC: Platform = {
  name: 'i386-pc',
  efi: '',
  debianPackage: 'grub-pc-bin',
  modules: ['biosdisk', ...COMMON.split(' ')],
};
/** By Node's name of the architecture. */
const UEFI: Partial<Record<string, Platform>> = {
  x64: { name: 'x86_64-efi', efi: 'BOOTX64.EFI', debianPackage: 'grub-efi-amd64-bin', modules: UEFI_MODULES },
  arm64: { name: 'arm64-efi', efi: 'BOOTAA64.EFI', debianPackage: 'grub-efi-arm64-bin', modules: UEFI_MODULES },
};

/** Throws AtomicError 'unsupported' for what machines of an architecture do not have, or nobody tried. */
function platformOf(firmware: Firmware, machine: string): Platform {
  const platform = firmware === 'uefi' ? UEFI[machine] : machine === 'x64' ? PC : undefined;
  if (platform !== undefined) return platform;
  throw new AtomicError('unsupported', `GRUB for ${firmware} firmware of ${machine} is not supported`, {
    hint: firmware === 'bios' && UEFI[machine] !== undefined ? 'such machines have UEFI' : undefined,
  });
}

const moduleFolder = ({ name }: Platform): string => `/usr/lib/grub/${name}`;

/** Throws AtomicError 'unsupported' when GRUB's modules for a firmware are not installed. */
export function requireGrub(firmware: readonly Firmware[], machine: string): void {
  for (const kind of firmware) {
    const platform = platformOf(kind, machine);
    try {
      accessSync(join(moduleFolder(platform), 'normal.mod'));
    } catch {
      const { name } = platform;
      const own = machine === arch();
      const debianPackage = own ? platform.debianPackage : `${platform.debianPackage}:${machine}`;
      throw new AtomicError('unsupported', `cannot make a disk image: GRUB for ${name} is not installed`, {
        hint: `${own ? '' : `dpkg --add-architecture ${machine} && apt-get update && `}apt-get install ${debianPackage}`,
      });
    }
  }
}

/**
 * The script built into GRUB. It only finds /boot and hands over to the menu beside the boot entries: that
 * file changes with them in one rename, so the menu and the deployments cannot disagree. A partition of its own has a
 * link named boot to itself, so paths are the same on it and on the root.
 */
function embeddedScript(where: BootPlace): string {
  return [
    'serial --unit=0 --speed=115200',
    'terminal_input serial console',
    'terminal_output serial console',
    // With a partition in its prefix, GRUB sets root to that of the disk it was started from.
    ...('uuid' in where ? [`search --no-floppy --fs-uuid --set=root ${where.uuid}`] : []),
    'set prefix=($root)/boot/grub',
    'configfile ($root)/boot/loader/grub.cfg',
    'echo "There is no boot menu on this disk."',
    '',
  ].join('\n');
}

/** Which file system has the menu: by its UUID, or by its partition's number on the disk GRUB is started from. */
export type BootPlace = { uuid: string } | { partition: number };

async function makeCore(platform: Platform, where: BootPlace, folder: string, signal?: AbortSignal): Promise<string> {
  const { name, modules } = platform;
  const script = join(folder, `${name}.cfg`);
  const core = join(folder, `${name}.img`);
  await writeFile(script, embeddedScript(where));
  const prefix = 'uuid' in where ? '/boot/grub' : `(,gpt${where.partition})/boot/grub`;
  const args = ['-d', moduleFolder(platform), '-O', name, '-o', core, '-p', prefix, '-c', script];
  await run('grub-mkimage', [...args, ...modules], { signal });
  return core;
}

/** Names of GRUB's parts in a folder: the boot sector and the core behind it, and what the EFI partition gets. */
const PARTS = { sector: 'boot.img', core: 'core.img', efi: 'EFI' };

export interface GrubTarget {
  firmware: readonly Firmware[];
  /** Architecture of what it starts, by Node's name; this machine's when not said. */
  machine?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** Make GRUB's parts for each firmware in an empty folder. */
export async function makeGrub(
  folder: string,
  where: BootPlace,
  { firmware, machine = arch(), signal }: GrubTarget,
): Promise<void> {
  const work = join(folder, 'work');
  await mkdir(work, { recursive: true });
  for (const kind of firmware) {
    const platform = platformOf(kind, machine);
    const core = await makeCore(platform, where, work, signal);
    if (kind === 'bios') {
      await copyFile(join(moduleFolder(platform), 'boot.img'), join(folder, PARTS.sector));
      await copyFile(core, join(folder, PARTS.core));
    } else {
      await mkdir(join(folder, PARTS.efi, 'BOOT'), { recursive: true });
      await copyFile(core, join(folder, PARTS.efi, 'BOOT', platform.efi));
    }
  }
  await rm(work, { recursive: true });
}

/** Put the parts for BIOS firmware, if the folder has them, on a disk. */
export async function placeBios(folder: string, disk: string, layout: Layout): Promise<void> {
  const content = await readFile(join(folder, PARTS.core)).catch(() => null);
  if (content === null) return;
  if (content.length > layout.bios.length)
    throw new AtomicError('failed', `GRUB's core of ${content.length} bytes does not fit its partition`);
  // Offsets: include/grub/i386/pc/boot.h of GRUB. grub-install would do this, but wants partition device nodes.
  const boot = await readFile(join(folder, PARTS.sector));
  const coreSector = BigInt(layout.bios.offset / SECTOR);
  boot.writeBigUInt64LE(coreSector, 0x5c); // where the core begins
  boot.writeUInt8(0xff, 0x64); // on the disk we were loaded from
  boot.writeUInt16LE(0x9090, 0x66); // and trust the firmware's disk number
  content.writeBigUInt64LE(coreSector + 1n, 0x1f4); // the core's first sector: where its rest lies
  // Disks take whole blocks only, so what follows the boot sector's code, the partition table's, is written as it was.
  const file = await open(disk, 'r+');
  try {
    const sector = Buffer.alloc(SECTOR);
    await file.read(sector, 0, SECTOR, 0);
    boot.copy(sector, 0, 0, 440);
    await file.write(sector, 0, SECTOR, 0);
    const whole = Buffer.concat([content, Buffer.alloc((SECTOR - (content.length % SECTOR)) % SECTOR)]);
    await file.write(whole, 0, whole.length, layout.bios.offset);
    await file.sync();
  } finally {
    await file.close();
  }
}

export interface InstallGrubOptions extends GrubTarget {
  image: string;
  layout: Layout;
  /** Of the file system that has the menu: /boot's own, or the root. */
  bootUuid: string;
  /** An empty folder for intermediate files. */
  scratch: string;
}

/** Put GRUB on the image for each firmware, so that it takes the menu the deployment wrote. */
export async function installGrub(options: InstallGrubOptions): Promise<void> {
  const { image, layout, firmware, signal } = options;
  const folder = join(options.scratch, 'grub');
  await makeGrub(folder, { uuid: options.bootUuid }, options);
  await placeBios(folder, image, layout);
  if (firmware.includes('uefi')) await writeEsp({ image, range: layout.esp, folder, entries: [PARTS.efi], signal });
}
