import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { inTree, listInTree } from '../tree-files.ts';

const MODULES = 'usr/lib/modules';

/** The kernel release of a tree, undefined when it has no kernel. Throws AtomicError 'invalid' when it has several. */
export function findKernel(root: string): string | undefined {
  const boot = inTree(root, 'boot');
  const kernels = listInTree(root, MODULES).filter(
    (name) =>
      existsSync(join(boot, `vmlinuz-${name}`)) || existsSync(join(inTree(root, `${MODULES}/${name}`), 'vmlinuz')),
  );
  if (kernels.length > 1) {
    throw new AtomicError(
      'invalid',
      `the tree has ${kernels.length} kernels (${kernels.join(', ')}); a tree boots one`,
      {
        hint: 'name one linux-image package, or put the others into exclude-packages',
      },
    );
  }
  return kernels[0];
}

/** Moves the kernel where ostree looks for it (/usr/lib/modules/RELEASE/vmlinuz) and empties /boot. */
export function settleKernel(root: string, release: string | undefined): void {
  const boot = inTree(root, 'boot');
  if (release !== undefined) {
    const modules = inTree(root, `${MODULES}/${release}`);
    for (const [from, to] of [
      [`vmlinuz-${release}`, 'vmlinuz'],
      [`config-${release}`, 'config'],
    ] as const) {
      if (existsSync(join(boot, from))) renameSync(join(boot, from), join(modules, to));
    }
  }
  for (const name of listInTree(root, 'boot')) rmSync(join(boot, name), { recursive: true });
  for (const name of readdirSync(root)) if (/^(vmlinuz|initrd\.img)(\.old)?$/.test(name)) rmSync(join(root, name));
}
