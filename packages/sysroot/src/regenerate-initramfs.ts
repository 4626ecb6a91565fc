import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { lgetxattr, lsetxattr } from '@atomic/linux';
import { AtomicError } from '@atomic/ostree';
import { findKernel } from './kernel.ts';
import { runInDeployment } from './run-program.ts';

/**
 * For ostree-prepare-root in an initramfs: has it mount /var, which libostree leaves to a generator in the booted system
 * that trees without libostree lack.
 */
export const MOUNT_VAR = `[Service]
ExecStartPre=/bin/sh -c 'mkdir -p /run/ostree && : > /run/ostree/initramfs-mount-var'
`;
/** Where it goes, in the initramfs. */
export const MOUNT_VAR_PATH = 'etc/systemd/system/ostree-prepare-root.service.d/10-mount-var.conf';

const GENERATOR = 'usr/lib/systemd/system-generators/ostree-system-generator';
const LABEL = 'security.selinux';

/**
 * Makes a deployment's initramfs anew with the dracut of its own tree, in a sandbox that sees the tree and `etc`
 * read-only. Only the file in this deployment changes: the commit's own stays in the repository, for it is a link no
 * more. Throws `not-found` without dracut in the tree, `unsupported` for a kernel outside /usr/lib/modules, `failed`.
 */
export async function regenerateInitramfs(
  tree: string,
  etc: string,
  args: readonly string[],
  options: { signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const { kernel, initramfs } = findKernel(tree);
  const folder = dirname(kernel.source);
  // Nor one that a link leads to, which could be anywhere.
  if (realpathSync(folder) !== join(realpathSync(tree), 'usr/lib/modules', basename(folder))) {
    throw new AtomicError('unsupported', `the initramfs of a kernel in ${folder} cannot be regenerated`);
  }
  if (!existsSync(join(tree, 'usr/bin/dracut'))) {
    throw new AtomicError('not-found', 'the tree has no dracut to make an initramfs with', {
      hint: 'add it to the packages of the tree, or turn this off with: atomic host initramfs --disable',
    });
  }
  const version = basename(folder);
  const work = mkdtempSync(join(tmpdir(), 'atomic-initramfs-'));
  try {
    const include: string[] = [];
    mkdirSync(join(work, 'include', dirname(MOUNT_VAR_PATH)), { recursive: true });
    if (!existsSync(join(tree, GENERATOR))) {
      writeFileSync(join(work, 'include', MOUNT_VAR_PATH), MOUNT_VAR);
      include.push('--include', '/run/work/include', '/');
    }
    const dracut = ['--force', '--no-hostonly', '--no-hostonly-cmdline', '--reproducible', '--tmpdir', '/tmp'];
    await runInDeployment(
      tree,
      'dracut',
      [...dracut, '--add', 'ostree', ...include, ...args, '--kver', version, '/run/work/image'],
      { signal: options.signal, readOnly: true, etc, bind: [[work, '/run/work']], env: { PATH: '/usr/sbin:/usr/bin' } },
    );
    const image = join(work, 'image');
    if (lstatSync(image, { throwIfNoEntry: false })?.isFile() !== true) {
      throw new AtomicError('failed', `dracut made no initramfs for ${version}`);
    }
    const destination = initramfs?.source ?? join(folder, 'initramfs.img');
    const aside = `${destination}.atomic-tmp`;
    rmSync(aside, { force: true });
    copyFileSync(image, aside);
    const old = initramfs === null ? null : lstatSync(destination);
    chmodSync(aside, old === null ? 0o600 : old.mode & 0o7777);
    const label = lgetxattr(old === null ? kernel.source : destination, LABEL);
    if (label !== null) lsetxattr(aside, LABEL, label);
    renameSync(aside, destination);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
