import { copyFileSync, existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { fdatasyncPath, syncfsPath } from '@atomic/linux';
import { AtomicError } from '@atomic/ostree';
import { runInDeployment, runProgram } from '../run-program.ts';
import { type BlsEntry, readEntries } from './bls.ts';
import type { Bootloader, BootUpdate } from './bootloader.ts';
import { writeGrubMenu } from './grub.ts';

/**
 * GRUB as distributions set it up: `boot/grub2/grub.cfg` (or `boot/grub/…`) is a link into the folder that the `loader`
 * link swaps, and a program makes that file from the boot entries: grub2-mkconfig, which calls back `ostree admin
 * instutil grub2-generate`, or the one that OSTREE_GRUB2_EXEC names. Without any, we write our own menu. With UEFI the
 * file lies on a FAT partition, where there are no links, and is replaced before the switch.
 * (libostree's ostree-bootloader-grub2.c)
 */
export interface Grub2Options {
  /** The program, with its path (OSTREE_GRUB2_EXEC). */
  exec?: string | undefined;
  /** Lets the program's output through (OSTREE_DEBUG_GRUB2, or under systemd). */
  showOutput?: boolean | undefined;
}

const MKCONFIG = ['/usr/sbin/grub2-mkconfig', '/usr/sbin/grub-mkconfig'];

/** Whether bootupd installed GRUB with a configuration that reads boot entries by itself. */
function hasStaticConfig(root: string): boolean {
  const path = `${root}/boot/bootupd-state.json`;
  if (!existsSync(path)) return false;
  const state: unknown = JSON.parse(readFileSync(path, 'utf8'));
  if (typeof state !== 'object' || state === null || !('static-configs' in state)) return false;
  return state['static-configs'] !== null;
}

/** GRUB's file below boot/efi/EFI; that of the fallback loader is not it. */
function efiConfig(root: string): string | null {
  const folder = `${root}/boot/efi/EFI`;
  if (!existsSync(folder)) return null;
  const vendor = readdirSync(folder)
    .sort()
    .find((name) => name !== 'BOOT' && existsSync(`${folder}/${name}/grub.cfg`));
  return vendor === undefined ? null : `${folder}/${vendor}/grub.cfg`;
}

const hasBiosConfig = (root: string): boolean =>
  existsSync(`${root}/boot/grub/grub.cfg`) || existsSync(`${root}/boot/grub2/grub.cfg`);

/** Whether this disk boots through a GRUB whose menu is generated. */
export const usesGrub2 = (root: string): boolean =>
  !hasStaticConfig(root) && (hasBiosConfig(root) || efiConfig(root) !== null);

/** Makes the bootloader for one disk; see {@link Grub2Options}. */
export function grub2(root: string, options: Grub2Options): Bootloader {
  const efi = hasBiosConfig(root) ? null : efiConfig(root);
  return {
    name: 'grub2',
    atomic: efi === null,
    async write(update) {
      if (efi === null) {
        await generate(update, options, `boot/loader.${update.bootVersion}/grub.cfg`, false);
        return;
      }
      const target = efi.slice(root.length + 1).replace(/grub\.cfg$/, 'grub.cfg.new');
      rmSync(`${root}/${target}`, { force: true });
      await generate(update, options, target, true);
      // Not atomic, but FAT has nothing better; the copy is for whoever has to repair it.
      copyFileSync(efi, `${efi}.old`);
      renameSync(`${root}/${target}`, efi);
      // Of another file system than /boot: kernels that the old file names are removed next.
      syncfsPath(efi);
    },
  };
}

/** Has the menu written to `target`, a path relative to the sysroot. */
async function generate(update: BootUpdate, options: Grub2Options, target: string, efi: boolean): Promise<void> {
  const { sysroot, bootVersion, deployments } = update;
  const [first] = deployments;
  const running = deployments.some(({ booted }) => booted) || sysroot.path === '/';
  const run = {
    env: { _OSTREE_GRUB2_BOOTVERSION: String(bootVersion), ...(efi ? { _OSTREE_GRUB2_IS_EFI: '1' } : {}) },
    signal: update.signal,
    showOutput: options.showOutput,
  };
  const program = options.exec ?? MKCONFIG.find((path) => existsSync(path));
  const path = sysroot.layout.at(target);
  if (program === undefined) writeGrubMenu(`${sysroot.layout.loader(bootVersion)}/entries`, path);
  else if (running || first === undefined || !/\/grub2?-mkconfig$/.test(program)) {
    await runProgram(program, ['-o', path], run);
  } else {
    // An installer's disk: the program describes the root it runs in, which must be the disk's.
    await runInDeployment(sysroot.layout.deployment(first), program, ['-o', `/${target}`], {
      ...run,
      bind: [
        [sysroot.layout.boot, '/boot'],
        [sysroot.path, '/sysroot'],
        [sysroot.layout.ostree, '/ostree'],
      ],
    });
  }
  fdatasyncPath(path);
}

export interface Grub2Section {
  /** What grub2-mkconfig found out: GRUB2_BOOT_DEVICE_ID and GRUB2_PREPARE_ROOT_CACHE. */
  bootDeviceId: string;
  prepareRoot: string;
  efi: boolean;
  /** What follows the names of the commands linux and initrd; older GRUBs need `16` on PCs, and `efi`. */
  suffix?: { bios: string; efi: string } | undefined;
}

const defaultSuffix =
  process.arch === 'x64' || process.arch === 'ia32' ? { bios: '16', efi: 'efi' } : { bios: '', efi: '' };
const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** The part of GRUB's configuration for our entries (`ostree admin instutil grub2-generate`). */
export function grub2Section(entries: readonly BlsEntry[], options: Grub2Section): string {
  const suffix = options.efi ? (options.suffix ?? defaultSuffix).efi : (options.suffix ?? defaultSuffix).bios;
  return entries
    .map((entry, index) => {
      const kernel = entry.get('linux');
      if (kernel === undefined) throw new AtomicError('invalid', 'No "linux" key in bootloader config');
      const arguments_ = entry.get('options');
      const lines = [
        `menuentry ${quote(entry.get('title') ?? '(Untitled)')} --class gnu-linux --class gnu --class os --unrestricted ${quote(`ostree-${index}-${options.bootDeviceId}`)} {`,
        'load_video',
        'set gfxpayload=keep',
        'insmod gzio',
        options.prepareRoot,
        `linux${suffix} ${kernel}${arguments_ === undefined ? '' : ` ${arguments_}`}`,
      ];
      const initrd = entry.get('initrd');
      if (initrd !== undefined) lines.push(`initrd${suffix} ${initrd}`);
      const devicetree = entry.get('devicetree');
      if (devicetree !== undefined) lines.push(`devicetree ${devicetree}`);
      return `${lines.join('\n')}\n}\n`;
    })
    .join('');
}

/** As {@link grub2Section}, for the entries of a boot version of a sysroot. */
export const grub2SectionOf = (entriesFolder: string, options: Grub2Section): string =>
  grub2Section(
    readEntries(entriesFolder).map(({ entry }) => entry),
    options,
  );
