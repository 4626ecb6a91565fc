import type { PackageManager } from '../packages/manager.ts';
import { writeInTree } from '../tree-files.ts';
import { settleAccounts } from './accounts.ts';
import { findKernel, settleKernel } from './kernel.ts';
import {
  type LayoutOptions,
  linkHostFolders,
  moveEtc,
  setOsRelease,
  settleEtc,
  sweep,
  writeLayoutFiles,
} from './layout.ts';
import { emptyVar } from './var.ts';

export { checkAccounts } from './account-check.ts';
export { keepAccountNumbers } from './account-numbers.ts';
export { committedAccounts } from './accounts.ts';
export { findKernel } from './kernel.ts';
export { keepLanguages } from './languages.ts';
export { cleanEtc } from './layout.ts';
export { applyTreefile } from './treefile-steps.ts';

export interface ShapeOptions extends LayoutOptions {
  manager: Pick<PackageManager, 'settle'>;
  version?: string | undefined;
  /** the text in os-release's VERSION and PRETTY_NAME that the version replaces */
  mutateOsRelease?: string | undefined;
  kernelArguments?: readonly string[] | undefined;
  /** an empty /etc/machine-id (the default), or none */
  machineId?: boolean | undefined;
  /** content of the initramfs, for the tree's kernel */
  initramfs?: Uint8Array | undefined;
}

/**
 * Turns an installed root, in place, into the shape of an ostree deployment: /usr holds everything the tree owns,
 * /usr/etc the defaults of /etc, /var is empty and made at boot. The order matters: the package database leaves /var
 * before it is emptied, /etc moves last because accounts are read from it.
 * Shape: libostree's docs/adapting-existing.md and rpm-ostree's postprocess.
 */
export function shapeTree(root: string, options: ShapeOptions): void {
  const kernel = options.keepBoot ? undefined : findKernel(root);
  if (!options.keepBoot) settleKernel(root, kernel);
  if (kernel !== undefined && options.initramfs !== undefined) {
    writeInTree(root, `usr/lib/modules/${kernel}/initramfs.img`, options.initramfs, 0o600);
  }
  if (options.kernelArguments !== undefined && options.kernelArguments.length > 0) {
    // bootc's place and format, so that other installers of the tree find them too.
    writeInTree(root, 'usr/lib/bootc/kargs.d/10-treefile.toml', `kargs = ${JSON.stringify(options.kernelArguments)}\n`);
  }
  options.manager.settle(root);
  settleEtc(root, options.machineId);
  settleAccounts(root);
  if (options.version !== undefined) setOsRelease(root, options.version, options.mutateOsRelease);
  linkHostFolders(root, options);
  writeLayoutFiles(root, options);
  emptyVar(root);
  moveEtc(root);
  sweep(root);
}
