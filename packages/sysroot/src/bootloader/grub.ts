import { replaceFile } from '@atomic/ostree';
import { parseKargs } from '../kargs.ts';
import { type BlsEntry, readEntries } from './bls.ts';
import type { Bootloader } from './bootloader.ts';

/**
 * GRUB before 2.14 cannot read boot entries (`blscfg`), so a plain menu is written beside them, inside the folder that
 * the `loader` link swaps: GRUB's embedded configuration sets `root` and runs `configfile /boot/loader/grub.cfg`.
 * libostree 2022.7 refuses bootloader names it does not know, so its `[sysroot] bootloader` stays `none` and ours is
 * `[atomic] bootloader=grub` in the repository's config.
 */
export const GRUB_CONFIG = 'grub.cfg';

/** GRUB's shell knows single quotes as POSIX shells do. */
const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
const word = (text: string): string => (/^[A-Za-z0-9_./:=,@%+-]+$/.test(text) ? text : quote(text));

/** The menu for entries in boot order. The second is tried by itself when the first cannot be loaded. */
export function grubConfig(entries: readonly BlsEntry[], kargsOf: (entry: BlsEntry) => string[]): string {
  const lines = [
    '# Written with the boot entries beside it; not meant to be edited.',
    'set timeout=1',
    'set default=0',
  ];
  if (entries.length > 1) lines.push('set fallback=1');
  for (const entry of entries) {
    lines.push(`menuentry ${quote(entry.get('title') ?? 'Linux')} --id ostree-${entry.get('version') ?? ''} {`);
    lines.push(`  linux ${[entry.get('linux') ?? '', ...kargsOf(entry)].map(word).join(' ')}`);
    const initrds = entry.all('initrd');
    if (initrds.length > 0) lines.push(`  initrd ${initrds.map(word).join(' ')}`);
    const devicetree = entry.get('devicetree');
    if (devicetree !== undefined) lines.push(`  devicetree ${word(devicetree)}`);
    lines.push('}');
  }
  return `${lines.join('\n')}\n`;
}

/** Writes the menu for a folder of entries. */
export function writeGrubMenu(entriesFolder: string, path: string): void {
  const entries = readEntries(entriesFolder).map(({ entry }) => entry);
  const menu = grubConfig(entries, (entry) => parseKargs(entry.get('options') ?? ''));
  replaceFile(path, menu, { mode: 0o644, sync: false });
}

export const grubMenu: Bootloader = {
  name: 'none',
  atomic: true,
  write({ sysroot, bootVersion }) {
    const loader = sysroot.layout.loader(bootVersion);
    writeGrubMenu(`${loader}/entries`, `${loader}/${GRUB_CONFIG}`);
  },
};
