import { closeSync, constants, lstatSync, openSync, readdirSync } from 'node:fs';
import { enableVerity } from '@atomic/linux';
import type { BeginOptions } from '@atomic/ostree';
import type { Sysroot } from './sysroot.ts';

/** Whether the repository's config wants files sealed (`[ex-integrity] fsverity`, or a composefs that must be). */
const wantsVerity = (sysroot: Sysroot): boolean =>
  ['yes', 'true', '1', 'maybe'].includes(sysroot.repo.config.get('ex-integrity', 'fsverity') ?? 'no');

/** Seals a regular file; false where that is not possible. */
function seal(path: string): boolean {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isFile()) return true;
  const fd = openSync(path, constants.O_RDONLY);
  try {
    return enableVerity(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * After a sysroot was copied file by file: seals anew what should be sealed with fs-verity, which copies are not
 * (`ostree admin post-copy`). Returns whether files were sealed; a file system without fs-verity is left as it is.
 */
export async function updateAfterCopy(sysroot: Sysroot, options: BeginOptions = {}): Promise<boolean> {
  using _lock = await sysroot.lock(options);
  if (!wantsVerity(sysroot)) return false;
  for (const { path } of sysroot.repo.listObjects()) {
    options.signal?.throwIfAborted();
    if (!seal(path)) return false;
  }
  for (const os of readdirSync(sysroot.layout.stateroots)) {
    const folder = `${sysroot.layout.stateroot(os)}/deploy`;
    if (!lstatSync(folder, { throwIfNoEntry: false })?.isDirectory()) continue;
    for (const name of readdirSync(folder)) if (!seal(`${folder}/${name}/.ostree.cfs`)) return false;
  }
  return true;
}
