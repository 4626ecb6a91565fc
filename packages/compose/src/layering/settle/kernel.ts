import { copyFileSync, existsSync, lstatSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { inTree, listInTree } from '../../tree-files.ts';
import type { LayerSpace } from '../space.ts';
import type { Written } from './inspect.ts';

const MODULES = 'usr/lib/modules';

/** What became of the tree's kernel. */
export interface KernelChange {
  /** The release the tree boots; undefined when it boots none. */
  release: string | undefined;
  /** Whether it has to have an initramfs of its own (another kernel), should have one (other modules), or keeps the base's. */
  initramfs: 'needed' | 'wanted' | 'same';
}

/**
 * Puts a kernel that packages brought to /boot where a tree has it, in place of the base's; makes the lists of modules
 * anew where modules changed. Throws `invalid` for several new kernels.
 */
export async function settleKernel(
  space: LayerSpace,
  written: Written,
  lower: string,
  options: { signal?: AbortSignal | undefined },
): Promise<KernelChange> {
  const { root } = space;
  const inBoot = listInTree(root, 'boot');
  const brought = listInTree(root, MODULES).filter((release) => inBoot.includes(`vmlinuz-${release}`));
  if (brought.length > 1) {
    throw new AtomicError(
      'invalid',
      `the packages bring ${brought.length} kernels (${brought.join(', ')}); a tree boots one`,
      {
        hint: 'ask for one of them',
      },
    );
  }
  const [kernel] = brought;
  for (const release of listInTree(root, MODULES)) {
    const folder = inTree(root, `${MODULES}/${release}`);
    if (!lstatSync(folder).isDirectory()) continue;
    // A removed kernel's own files stayed, for dpkg and rpm do not know them.
    if (!existsSync(join(folder, 'kernel')) && existsSync(join(lower, MODULES, release, 'kernel'))) {
      rmSync(folder, { recursive: true });
    } else if (kernel !== undefined && release !== kernel) {
      for (const name of ['vmlinuz', 'initramfs.img', 'config']) rmSync(join(folder, name), { force: true });
    }
  }
  if (kernel !== undefined) {
    for (const [from, to] of [
      [`vmlinuz-${kernel}`, 'vmlinuz'],
      [`config-${kernel}`, 'config'],
    ] as const) {
      const source = inTree(root, `boot/${from}`);
      if (existsSync(source)) copyFileSync(source, inTree(root, `${MODULES}/${kernel}/${to}`));
    }
  }
  const boots = listInTree(root, MODULES).find((release) => existsSync(inTree(root, `${MODULES}/${release}/vmlinuz`)));
  const built = boots !== undefined && (await buildModules(space, boots, options));
  const changed = new Set([...written.modules, ...brought, ...(built ? [boots] : [])]);
  for (const release of changed) {
    if (
      lstatSync(join(root, 'usr/sbin/depmod'), { throwIfNoEntry: false }) === undefined ||
      !existsSync(inTree(root, `${MODULES}/${release}`))
    )
      continue;
    await space.run(['depmod', '-a', release], { signal: options.signal });
  }
  if (boots === undefined || !changed.has(boots)) return { release: boots, initramfs: 'same' };
  return { release: boots, initramfs: boots === kernel ? 'needed' : 'wanted' };
}

/**
 * Builds modules that come as sources for the tree's kernel: packages' own scripts build for the one that runs here.
 * Says whether there are any. Throws `failed` with what the build says.
 */
async function buildModules(
  space: LayerSpace,
  release: string,
  options: { signal?: AbortSignal | undefined },
): Promise<boolean> {
  const { root } = space;
  if (lstatSync(join(root, 'usr/sbin/dkms'), { throwIfNoEntry: false }) === undefined) return false;
  if (listInTree(root, 'var/lib/dkms').length === 0) return false;
  await space.run(['dkms', 'autoinstall', '-k', release], {
    discardOutput: true,
    signal: options.signal,
    explain: (output, code) =>
      new AtomicError(
        'failed',
        `dkms cannot build modules for kernel ${release} (status ${code}): ${output.trim().split('\n').at(-1) ?? ''}`,
        { hint: `its headers are in the package linux-headers-${release}` },
      ),
  });
  return true;
}
