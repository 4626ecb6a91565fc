import { existsSync, readFileSync, rmSync } from 'node:fs';
import { AtomicError, replaceFile } from '@atomic/ostree';
import { runInDeployment, runProgram } from '../run-program.ts';
import type { Bootloader } from './bootloader.ts';

/** Says that the entries were switched and the loader has yet to be told; stock tools read and write it, too. */
export const UPDATE_STAMP = 'boot/ostree-bootloader-update.stamp';

/**
 * zipl (IBM Z) reads boot entries, but only when it is run: after the switch it is, and until that succeeded a stamp
 * remembers it. (libostree's ostree-bootloader-zipl.c)
 */
export const zipl: Bootloader = {
  name: 'zipl',
  atomic: true,
  write({ sysroot }) {
    replaceFile(sysroot.layout.at(UPDATE_STAMP), '', { mode: 0o644, sync: false });
  },
  async afterSwap({ sysroot, deployments, signal }) {
    if (process.getuid?.() !== 0 || !existsSync(sysroot.layout.at(UPDATE_STAMP))) return;
    if (isOne('/sys/firmware/uv/prot_virt_guest')) {
      throw new AtomicError('unsupported', 'zipl with IBM Secure Execution is not supported', {
        hint: 'update this machine with stock ostree, which builds the encrypted boot image',
      });
    }
    const args = ['--secure', isOne('/sys/firmware/ipl/secure') ? '1' : 'auto', '-V'];
    const [first] = deployments;
    if (first === undefined || deployments.some(({ booted }) => booted)) await runProgram('zipl', args, { signal });
    else {
      await runInDeployment(sysroot.layout.deployment(first), 'zipl', args, {
        signal,
        bind: [[sysroot.layout.boot, '/boot']],
      });
    }
    rmSync(sysroot.layout.at(UPDATE_STAMP));
  },
};

const isOne = (path: string): boolean => existsSync(path) && readFileSync(path, 'utf8').includes('1');
