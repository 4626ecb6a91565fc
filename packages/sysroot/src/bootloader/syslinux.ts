import { lstatSync, readFileSync } from 'node:fs';
import { AtomicError, replaceFile } from '@atomic/ostree';
import { type BlsEntry, readEntries } from './bls.ts';
import { type Bootloader, joinLines } from './bootloader.ts';

/**
 * SYSLINUX/EXTLINUX reads `boot/syslinux/syslinux.cfg`, a link into the folder that the `loader` link swaps. Sections
 * of other kernels and global lines stay; ours are written anew (libostree's ostree-bootloader-syslinux.c).
 */
const CONFIG = 'boot/syslinux/syslinux.cfg';

/** Whether this disk boots through SYSLINUX. */
export const usesSyslinux = (root: string): boolean =>
  lstatSync(`${root}/${CONFIG}`, { throwIfNoEntry: false }) !== undefined;

const isOurKernel = (path: string) => path.startsWith('/ostree/') || path.startsWith('/boot/ostree/');

/** The new configuration. `prefix` makes paths of entries right for SYSLINUX. Throws `invalid` for a label without a kernel. */
export function syslinuxConfig(current: string, entries: readonly BlsEntry[], prefix: string): string {
  const kept: string[] = [];
  let section: { lines: string[]; kernel: string | null } | null = null;
  const endSection = () => {
    if (section === null) return;
    if (section.kernel === null) throw new AtomicError('invalid', 'No KERNEL argument found after LABEL');
    if (!isOurKernel(section.kernel)) kept.push(...section.lines);
    section = null;
  };
  let sawDefault = false;
  let ours = false;
  for (const line of current.split('\n')) {
    if (section !== null && !line.startsWith('\t')) endSection();
    if (section !== null) {
      if (line.startsWith('\tKERNEL ')) section.kernel = line.slice('\tKERNEL '.length);
      section.lines.push(line);
    } else if (line.startsWith('LABEL ')) section = { lines: [line], kernel: null };
    else if (line.startsWith('DEFAULT ')) {
      sawDefault = true;
      // The titles of our entries say "(ostree"; an administrator's own default is left out of the file as stock does.
      if (line.startsWith('DEFAULT ostree:') || line.includes('(ostree')) ours = true;
    } else kept.push(line);
  }
  endSection();
  const writeDefault = ours || !sawDefault;
  entries.forEach((entry, index) => {
    const title = entry.get('title') ?? '(Untitled)';
    if (writeDefault && index === 0) kept.push(`DEFAULT ${title}`);
    kept.push(`LABEL ${title}`);
    const kernel = entry.get('linux');
    if (kernel === undefined) throw new AtomicError('invalid', 'No "linux" key in bootloader config');
    kept.push(`\tKERNEL ${prefix}${kernel}`);
    const initrd = entry.get('initrd');
    if (initrd !== undefined) kept.push(`\tINITRD ${prefix}${initrd}`);
    const devicetree = entry.get('devicetree');
    if (devicetree !== undefined) kept.push(`\tDEVICETREE ${prefix}${devicetree}`);
    const options = entry.get('options');
    if (options !== undefined) kept.push(`\tAPPEND ${options}`);
  });
  return joinLines(kept);
}

export const syslinux: Bootloader = {
  name: 'syslinux',
  atomic: true,
  write({ sysroot, bootVersion }) {
    const loader = sysroot.layout.loader(bootVersion);
    // Through the link: what is in use now.
    const current = readFileSync(sysroot.layout.at(CONFIG), 'utf8');
    const entries = readEntries(`${loader}/entries`).map(({ entry }) => entry);
    const prefix = sysroot.config.bootPrefix ? '' : '/boot';
    replaceFile(`${loader}/syslinux.cfg`, syslinuxConfig(current, entries, prefix), { mode: 0o644, sync: false });
  },
};
