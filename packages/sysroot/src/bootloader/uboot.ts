import { lstatSync, readFileSync } from 'node:fs';
import { errnoCode } from '@atomic/linux';
import { AtomicError, corrupt, replaceFile } from '@atomic/ostree';
import { kargValues, parseKargs } from '../kargs.ts';
import { parseBootLink } from '../layout.ts';
import { type BlsEntry, readEntries } from './bls.ts';
import { type Bootloader, joinLines } from './bootloader.ts';

/**
 * U-Boot imports `boot/loader/uEnv.txt` as its environment: variables for each deployment, the first without a number,
 * and the tree's own settings after its (libostree's ostree-bootloader-uboot.c).
 */
const CONFIG = 'boot/loader/uEnv.txt';

/** Whether this disk boots through U-Boot. */
export const usesUboot = (root: string): boolean =>
  lstatSync(`${root}/${CONFIG}`, { throwIfNoEntry: false }) !== undefined;

/** The environment for entries in boot order. `treeSettings` gives what the tree of the first one adds, or null. */
export function ubootConfig(
  entries: readonly BlsEntry[],
  treeSettings: (options: string) => string | null = () => null,
): string {
  const lines: string[] = [];
  entries.forEach((entry, index) => {
    const suffix = index === 0 ? '' : String(index + 1);
    const kernel = entry.get('linux');
    if (kernel === undefined) throw new AtomicError('invalid', 'No "linux" key in bootloader config');
    lines.push(`kernel_image${suffix}=/boot${kernel}`);
    for (const [key, variable] of [
      ['initrd', 'ramdisk_image'],
      ['devicetree', 'fdt_file'],
      ['fdtdir', 'fdtdir'],
    ] as const) {
      const value = entry.get(key);
      if (value !== undefined) lines.push(`${variable}${suffix}=/boot${value}`);
    }
    const options = entry.get('options');
    if (options === undefined) return;
    lines.push(`bootargs${suffix}=${options}`);
    if (index > 0) return;
    const settings = treeSettings(options);
    if (settings !== null) lines.push(settings);
  });
  return joinLines(lines);
}

/** `usr/lib/ostree-boot/uEnv.txt` of the deployment that an entry's options boot. */
function readTreeSettings(root: string, options: string): string | null {
  const argument = kargValues(parseKargs(options), 'ostree').at(-1);
  if (argument === undefined || parseBootLink(argument) === null) {
    throw corrupt('No ostree= kernel argument found in boot loader configuration file');
  }
  try {
    return readFileSync(`${root}${argument}/usr/lib/ostree-boot/uEnv.txt`, 'utf8');
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return null;
    throw error;
  }
}

export const uboot: Bootloader = {
  name: 'U-Boot',
  atomic: true,
  write({ sysroot, bootVersion }) {
    const loader = sysroot.layout.loader(bootVersion);
    const entries = readEntries(`${loader}/entries`).map(({ entry }) => entry);
    const text = ubootConfig(entries, (options) => readTreeSettings(sysroot.path, options));
    replaceFile(`${loader}/uEnv.txt`, text, { mode: 0o644, sync: false });
  },
};
