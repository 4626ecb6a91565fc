import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { constants, zstdCompress } from 'node:zlib';
import { AtomicError } from '@atomic/ostree';
import { readFolderPackages } from '@atomic/pkgdb';
import { MOUNT_VAR, MOUNT_VAR_PATH, type TreeInitramfs } from '@atomic/sysroot';
import { DRIVERS, MODULES } from '../initramfs/initramfs.ts';
import { inTree } from '../tree-files.ts';
import type { LayerManager, LayerManagerOptions } from './manager.ts';
import type { LayerSpace } from './space.ts';

/** dracut's module that makes an ostree host of the root, from the distribution's own package. */
const OSTREE_MODULE = 'usr/lib/dracut/modules.d/98ostree';

/**
 * Makes the initramfs for a kernel of the tree that `space` shows, with the dracut of the tree, and as that tree's was
 * made. Where dracut, its part for ostree or packages for its modules are missing they are installed there, for the space
 * is thrown away.
 */
export async function makeLayerInitramfs(
  space: LayerSpace,
  manager: LayerManager,
  release: string,
  of: TreeInitramfs,
  options: LayerManagerOptions,
): Promise<Buffer> {
  const { signal, progress } = options;
  const there = new Set((readFolderPackages(space.root) ?? []).map(({ name }) => name));
  const dracut = existsSync(join(space.root, OSTREE_MODULE)) && existsSync(join(space.root, 'usr/bin/dracut'));
  const missing = [...(dracut ? [] : manager.initramfsPackages), ...of.packages.filter((name) => !there.has(name))];
  if (missing.length > 0) {
    progress?.({ phase: 'initramfs', message: `installing ${missing.join(' and ')} for the moment` });
    const requests = {
      install: missing,
      local: [],
      localFileOverride: [],
      remove: [],
      replace: [],
      replaceFrom: [],
    };
    const throwaway = { ...options, throwaway: true, recommends: false };
    await manager.prepare(space, throwaway);
    await manager.refresh(space, throwaway);
    const plan = await manager.plan(space, requests, throwaway);
    await manager.fetch(space, requests, plan, throwaway);
    await manager.install(space, requests, plan, { ...throwaway, progress: undefined });
  }
  progress?.({ phase: 'initramfs', message: `running dracut for ${release}` });
  const [out, include] = [join(space.folder, 'out'), join(space.control, 'include')];
  mkdirSync(out, { mode: 0o755 });
  mkdirSync(join(include, dirname(MOUNT_VAR_PATH)), { recursive: true });
  writeFileSync(join(include, MOUNT_VAR_PATH), MOUNT_VAR);
  await space.run(
    [
      'dracut',
      ...['--quiet', '--force', '--no-hostonly', '--no-hostonly-cmdline', '--no-early-microcode'],
      ...['--reproducible', '--no-compress', '--nostrip', '--tmpdir', '/tmp'],
      ...['--modules', [...(of.modules ?? MODULES), ...of.addModules].join(' ')],
      ...['--drivers', [...new Set([...DRIVERS, ...of.drivers])].join(' ')],
      ...['--include', '/run/atomic/include', '/', ...of.args, '--kver', release, '/run/out/initramfs'],
    ],
    {
      env: { SOURCE_DATE_EPOCH: '0' },
      binds: [[out, '/run/out', true]],
      signal,
      explain: (output, code) =>
        new AtomicError(
          'failed',
          `dracut failed with status ${code} for kernel ${release}: ${output.trim().split('\n').slice(-2).join(' | ')}`,
        ),
    },
  );
  return await promisify(zstdCompress)(readFileSync(inTree(out, 'initramfs')), {
    params: { [constants.ZSTD_c_compressionLevel]: 12, [constants.ZSTD_c_checksumFlag]: 1 },
  });
}
