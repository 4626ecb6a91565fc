import { closeSync, constants, openSync } from 'node:fs';
import { kexecFileLoad } from '@atomic/linux';
import { AtomicError } from '@atomic/ostree';
import type { Deployment } from './deployment.ts';
import { formatKargs } from './kargs.ts';
import { findKernel } from './kernel.ts';
import type { Sysroot } from './sysroot.ts';

/** Readies a deployment's kernel, so that the next reboot skips firmware and boot loader. Throws `failed`. */
export function loadForKexec(sysroot: Sysroot, deployment: Deployment): void {
  const { kernel, initramfs } = findKernel(sysroot.layout.deployment(deployment), sysroot);
  const kernelFd = openSync(kernel.source, constants.O_RDONLY);
  const initrdFd = initramfs === null ? null : openSync(initramfs.source, constants.O_RDONLY);
  try {
    kexecFileLoad(kernelFd, initrdFd, formatKargs(deployment.commandLine));
  } catch (error) {
    throw new AtomicError(
      'failed',
      `Loading kernel into kexec: ${error instanceof Error ? error.message : String(error)}`,
      {
        hint: 'the deployment is made all the same; an ordinary reboot starts it',
        cause: error,
      },
    );
  } finally {
    closeSync(kernelFd);
    if (initrdFd !== null) closeSync(initrdFd);
  }
}
