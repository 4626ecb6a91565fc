import { existsSync, rmSync } from 'node:fs';
import { AtomicError, replaceFile } from '@atomic/ostree';
import { runProgram } from '../run-program.ts';
import { type BlsEntry, readEntries } from './bls.ts';
import type { Bootloader } from './bootloader.ts';
import { UPDATE_STAMP } from './zipl.ts';

/** The arguments of aboot-deploy for the entry that boots first; throws `invalid` when it lacks a key. */
export function abootArguments(entry: BlsEntry | undefined): string[] {
  if (entry === undefined) throw new AtomicError('invalid', 'aboot: no bls config');
  const key = (name: string): string => {
    const value = entry.get(name);
    if (value === undefined) throw new AtomicError('invalid', `aboot: no "${name}" key in bootloader config`);
    return value;
  };
  for (const name of ['version', 'linux', 'initrd']) key(name);
  return ['-r', '.', '-c', key('abootcfg'), '-o', key('options'), key('aboot')];
}

/**
 * Android's boot partitions hold kernel, initramfs and arguments as one image; aboot-deploy writes the one of the first
 * deployment after the switch. (libostree's ostree-bootloader-aboot.c)
 */
export const aboot: Bootloader = {
  name: 'aboot',
  atomic: true,
  write({ sysroot }) {
    replaceFile(sysroot.layout.at(UPDATE_STAMP), '', { mode: 0o644, sync: false });
  },
  async afterSwap({ sysroot, bootVersion, signal }) {
    if (!existsSync(sysroot.layout.at(UPDATE_STAMP))) return;
    const [first] = readEntries(`${sysroot.layout.loader(bootVersion)}/entries`);
    await runProgram('aboot-deploy', abootArguments(first?.entry), { cwd: sysroot.path, signal });
    rmSync(sysroot.layout.at(UPDATE_STAMP));
  },
};
