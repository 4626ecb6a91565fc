import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { AtomicError } from '@atomic/ostree';

/** The kernel release of a tree, undefined when it has no kernel. Throws AtomicError 'invalid' when it has several. */
export function findKernel(root: string): string | undefined {
  const modules = join(root, 'usr/lib/modules');
  const names = existsSync(modules) ? readdirSync(modules) : [];
  const kernels = names.filter(
    (name) => existsSync(join(root, 'boot', `vmlinuz-${name}`)) || existsSync(join(modules, name, 'vmlinuz')),
  );
  if (kernels.length > 1) {
    throw new AtomicError(
      'invalid',
      `the tree has ${kernels.length} kernels (${kernels.sort().join(', ')}); a tree boots one`,
      {
        hint: 'name one linux-image package, or put the others into exclude-packages',
      },
    );
  }
  return kernels[0];
}

/** Moves the kernel where ostree looks for it (/usr/lib/modules/RELEASE/vmlinuz) and empties /boot. */
export function settleKernel(root: string, release: string | undefined): void {
  if (release !== undefined) {
    const modules = join(root, 'usr/lib/modules', release);
    for (const [from, to] of [
      [`vmlinuz-${release}`, 'vmlinuz'],
      [`config-${release}`, 'config'],
    ] as const) {
      if (existsSync(join(root, 'boot', from))) renameSync(join(root, 'boot', from), join(modules, to));
    }
  }
  for (const name of existsSync(join(root, 'boot')) ? readdirSync(join(root, 'boot')) : [])
    rmSync(join(root, 'boot', name), { recursive: true });
  for (const name of readdirSync(root)) if (/^(vmlinuz|initrd\.img)(\.old)?$/.test(name)) rmSync(join(root, name));
}
