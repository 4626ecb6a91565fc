import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { constants, zstdCompress } from 'node:zlib';
import { AtomicError, type Progress, replaceFile } from '@atomic/ostree';
import { MOUNT_VAR, MOUNT_VAR_PATH } from '@atomic/sysroot';
import type { Installation } from '../packages/manager.ts';
import { runInTree } from '../sandbox.ts';

/** What an initramfs for an ostree host needs and no more; `ostree` is the distribution's own dracut module (ostree-boot). */
export const MODULES = [
  'bash',
  'systemd',
  'systemd-initrd',
  'ostree',
  'base',
  'fs-lib',
  'rootfs-block',
  'kernel-modules',
  'udev-rules',
  'usrmount',
];
/** Disks of virtual and common real machines, beyond what those modules bring. */
export const DRIVERS = [
  'virtio_pci',
  'virtio_mmio',
  'virtio_blk',
  'virtio_scsi',
  'virtio_console',
  'vmw_pvscsi',
  'sd_mod',
  'nvme',
  'ahci',
  'ext4',
];

export interface InitramfsOptions {
  /** what makes it */
  installation: Installation;
  /** state of the repositories, from refresh() */
  repositories: string;
  cachedir: string;
  /** the tree whose kernel it is for */
  root: string;
  kernel: string;
  modules: readonly string[] | undefined;
  addModules: readonly string[];
  drivers: readonly string[];
  args: readonly string[];
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
  /** makes (or finds) a root with these packages */
  rootFor: (installation: Installation) => Promise<string>;
}

/**
 * Makes the initramfs of a tree's kernel with the distribution's dracut, in a root of its own that holds dracut,
 * systemd, ostree-boot and the packages the treefile names, so the tree need not carry them. It depends on nothing but
 * these packages, the repositories' state, the kernel and these options, and is kept under that key: the next compose
 * takes it from there.
 */
export async function makeInitramfs(options: InitramfsOptions): Promise<{ image: Buffer; cached: boolean }> {
  const { installation, kernel, signal, progress } = options;
  const modulesDirectory = join(options.root, 'usr/lib/modules', kernel);
  const modules = [...(options.modules ?? MODULES), ...options.addModules];
  const drivers = [...new Set([...DRIVERS, ...options.drivers])];
  const hash = createHash('sha256');
  hash.update(
    JSON.stringify(['2', options.repositories, kernel, installation, modules, drivers, options.args, MOUNT_VAR]),
  );
  hash.update(readFileSync(join(modulesDirectory, 'modules.dep')));
  const vmlinuz = [join(options.root, 'boot', `vmlinuz-${kernel}`), join(modulesDirectory, 'vmlinuz')].find(existsSync);
  if (vmlinuz !== undefined) hash.update(readFileSync(vmlinuz));
  const directory = join(options.cachedir, 'initramfs');
  const kept = join(directory, `${kernel}-${hash.digest('hex').slice(0, 24)}.img`);
  mkdirSync(directory, { recursive: true });
  if (existsSync(kept)) {
    progress?.({ phase: 'initramfs', message: 'unchanged, taken from the cache' });
    utimesSync(kept, new Date(), new Date());
    return { image: readFileSync(kept), cached: true };
  }
  progress?.({ phase: 'initramfs', message: 'installing dracut and ostree-boot' });
  const builder = await options.rootFor(installation);
  const work = join(options.cachedir, 'work/initramfs');
  rmSync(work, { recursive: true, force: true });
  mkdirSync(join(work, 'out'), { recursive: true });
  const dropIn = join(work, 'include', MOUNT_VAR_PATH);
  mkdirSync(dirname(dropIn), { recursive: true });
  writeFileSync(dropIn, MOUNT_VAR);
  mkdirSync(join(builder, 'usr/lib/modules', kernel), { recursive: true });
  mkdirSync(join(builder, 'mnt/include'), { recursive: true });
  mkdirSync(join(builder, 'mnt/out'), { recursive: true });
  progress?.({ phase: 'initramfs', message: `running dracut for ${kernel}` });
  await runInTree({
    root: builder,
    readOnly: true,
    binds: [
      [modulesDirectory, `/usr/lib/modules/${kernel}`, false],
      [join(work, 'include'), '/mnt/include', false],
      [join(work, 'out'), '/mnt/out', true],
    ],
    command: [
      'dracut',
      '--quiet',
      '--force',
      '--no-hostonly',
      '--no-hostonly-cmdline',
      '--no-early-microcode',
      '--reproducible',
      '--no-compress',
      '--nostrip',
      '--modules',
      modules.join(' '),
      '--drivers',
      drivers.join(' '),
      '--include',
      '/mnt/include',
      '/',
      ...options.args,
      '--kver',
      kernel,
      '/mnt/out/initramfs.cpio',
    ],
    env: { SOURCE_DATE_EPOCH: '0' },
    signal,
    explain: (output, code) =>
      new AtomicError(
        'failed',
        `dracut failed with status ${code}: ${output.trim().split('\n').slice(-3).join(' | ')}`,
      ),
  });
  const cpio = readFileSync(join(work, 'out/initramfs.cpio'));
  const image = await promisify(zstdCompress)(cpio, {
    params: { [constants.ZSTD_c_compressionLevel]: 12, [constants.ZSTD_c_checksumFlag]: 1 },
  });
  // Complete or not there: the name is the key, so half a file would be taken for the image ever after.
  replaceFile(kept, image);
  rmSync(work, { recursive: true, force: true });
  const old = readdirSync(directory)
    .map((name) => join(directory, name))
    .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
  for (const path of old.slice(6)) rmSync(path, { force: true });
  return { image, cached: false };
}
