import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { AtomicError, type Checksum, checkout, type Progress, type Repo } from '@atomic/ostree';
import { cachedRoot } from './cached-root.ts';
import { makeInitramfs } from './initramfs/initramfs.ts';
import type { Lock } from './lockfile.ts';
import type { Installation, PackageManager } from './packages/manager.ts';
import { type Plan, planInitramfs } from './plan.ts';
import type { Accounts } from './postprocess/accounts.ts';
import { applyTreefile, cleanEtc, findKernel, keepAccountNumbers, shapeTree } from './postprocess/index.ts';
import { run } from './process.ts';
import { compressRuntime, requireSquashfs } from './runtime/compressed-runtime.ts';
import { installRuntime } from './runtime/runtime.ts';
import { followInTree, inTree } from './tree-files.ts';
import type { Located, Treefile } from './treefile/treefile.ts';

interface BuildOptions {
  treefile: Treefile;
  cachedir: string;
  lock?: Lock | undefined;
  /** install packages anew */
  forceNoCache?: boolean | undefined;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

/** Makes a root with packages, or takes it from the cache. */
const rootMaker =
  (manager: PackageManager, repositories: string, { cachedir, forceNoCache, signal, progress }: BuildOptions) =>
  (installation: Installation): Promise<string> =>
    cachedRoot(manager, installation, repositories, cachedir, { anew: forceNoCache, signal, progress });

/** Installs the packages of a plan into `root`, which must not exist, leaves nothing of this machine, lays the layers over them. */
export async function installPackages(root: string, plan: Plan, repo: Repo, options: BuildOptions): Promise<void> {
  const base = await rootMaker(plan.manager, plan.repositories, options)(plan);
  mkdirSync(dirname(root), { recursive: true });
  await run('cp', ['-a', '--reflink=auto', base, root], { signal: options.signal });
  cleanEtc(root);
  const { ostreeLayers, ostreeOverrideLayers } = options.treefile;
  for (const layer of ostreeLayers) await layTree(root, repo, layer, plan.layers, false, options);
  for (const layer of ostreeOverrideLayers) await layTree(root, repo, layer, plan.layers, true, options);
}

/** Does what the treefile says beyond packages. `previous`: accounts whose numbers are kept. */
export async function applyToRoot(
  root: string,
  plan: Pick<Plan, 'manager' | 'runtime'>,
  previous: Accounts | null,
  options: BuildOptions,
): Promise<void> {
  const { treefile, signal, progress } = options;
  progress?.({ phase: 'postprocess', message: 'adding atomic, files, units and scripts' });
  if (plan.runtime !== null) {
    const small = treefile.compressRuntime;
    if (small) requireSquashfs(root, findKernel(root));
    installRuntime(root, small ? await compressRuntime(plan.runtime, options.cachedir, options) : plan.runtime);
  }
  await applyTreefile(root, treefile, { manager: plan.manager, signal, progress });
  if (treefile.preservePasswd && previous !== null) keepAccountNumbers(root, previous);
}

/** The initramfs for a root's kernel; undefined where it has none, or is to have none. */
export async function initramfsFor(
  root: string,
  { manager, repositories, initramfs }: Pick<Plan, 'manager' | 'repositories' | 'initramfs'>,
  options: BuildOptions,
): Promise<Buffer | undefined> {
  const { treefile, cachedir, signal, progress } = options;
  const kernel = treefile.noInitramfs ? undefined : findKernel(root);
  if (kernel === undefined) return undefined;
  const rootFor = rootMaker(manager, repositories, options);
  const installation = initramfs ?? (await planInitramfs(manager, options));
  const where = { repositories, cachedir, root, kernel, signal, progress };
  const made = { ...where, ...treefile.initramfs, installation, rootFor };
  return (await makeInitramfs(made)).image;
}

/** Gives a root the shape of a deployment. */
export function shapeRoot(
  root: string,
  treefile: Treefile,
  more: { manager: PackageManager; version: string | undefined; initramfs: Buffer | undefined },
): void {
  shapeTree(root, {
    ...more,
    mutateOsRelease: treefile.mutateOsRelease,
    kernelArguments: treefile.kernelArguments,
    machineId: treefile.machineidCompat,
    optUsrlocal: treefile.optUsrlocal,
    tmpIsDir: treefile.tmpIsDir,
    keepBoot: treefile.container,
  });
}

/** Lays a commit's tree over a root; its /usr/etc is the root's /etc. */
async function layTree(
  root: string,
  repo: Repo,
  layer: Located<string>,
  commits: ReadonlyMap<string, Checksum>,
  override: boolean,
  { signal, progress }: BuildOptions,
): Promise<void> {
  progress?.({ phase: 'packages', message: `laying ${layer.value} over the packages` });
  const work = mkdtempSync(join(dirname(root), 'layer-'));
  try {
    const tree = join(work, 'tree');
    await checkout(repo, commits.get(layer.value) ?? layer.value, tree, { forceCopy: true, signal });
    const defaults = inTree(tree, 'usr/etc');
    if (existsSync(defaults) && !existsSync(join(tree, 'etc'))) renameSync(defaults, join(tree, 'etc'));
    if (!override) refuseConflicts(root, tree, '', layer);
    moveOver(tree, root, '');
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/**
 * Moves all of `from` into a folder of a root, over what is there. Folders that are links there, as /bin of a merged /usr,
 * stay links, and lead where they would lead in the root.
 */
function moveOver(from: string, root: string, path: string): void {
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const source = join(from, entry.name);
    const target = join(root, path, entry.name);
    const folder = entry.isDirectory() ? followInTree(root, join(path, entry.name)) : undefined;
    if (folder !== undefined && lstatSync(join(root, folder), { throwIfNoEntry: false })?.isDirectory())
      moveOver(source, root, folder);
    else {
      rmSync(target, { recursive: true, force: true });
      renameSync(source, target);
    }
  }
}

function refuseConflicts(root: string, tree: string, path: string, layer: Located<string>): void {
  for (const entry of readdirSync(join(tree, path), { withFileTypes: true })) {
    const inner = join(path, entry.name);
    const place = entry.isDirectory() ? followInTree(root, inner) : join(followInTree(root, path) ?? '', entry.name);
    const there = place === undefined ? undefined : lstatSync(join(root, place), { throwIfNoEntry: false });
    if (there === undefined) continue;
    if (entry.isDirectory() && there.isDirectory()) refuseConflicts(root, tree, inner, layer);
    else
      throw new AtomicError(
        'exists',
        `${layer.file}:${layer.line}: 'ostree-layers': ${layer.value} has /${inner}, which is there already`,
        { hint: "name it in 'ostree-override-layers' if it is to win" },
      );
  }
}
