import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { errnoCode } from '@atomic/linux';
import { AtomicError, type Checksum, type Repo, type TransactionStats } from '@atomic/ostree';
import { applyToRoot, initramfsFor, installPackages, shapeRoot } from './build-root.ts';
import { commitRoot } from './commit-root.ts';
import { type ComposeOptions, inCache, isUnchanged, lookBack } from './compose.ts';
import { requireRoot } from './compose-errors.ts';
import { type Plan, plan } from './plan.ts';
import { checkAccounts, cleanEtc, findKernel } from './postprocess/index.ts';
import { run } from './process.ts';
import { managerOf, readNotes, writeNotes } from './step-notes.ts';
import { writeInTree } from './tree-files.ts';
import type { Treefile } from './treefile/treefile.ts';

export interface InstallResult {
  /** DESTINATION/rootfs; null when nothing changed */
  rootfs: string | null;
  packages: number;
  inputHash: string;
}

/**
 * The first step of a compose by itself: installs into DESTINATION/rootfs what a treefile says, its scripts run.
 * `shape`: gives it the shape of a deployment as well, which is else the next step's. Throws `exists` when something is there.
 */
export async function composeInstall(
  destination: string,
  options: ComposeOptions & { shape?: boolean | undefined },
): Promise<InstallResult> {
  const { treefile, repo } = options;
  const rootfs = join(resolve(destination), 'rootfs');
  if (existsSync(rootfs)) throw new AtomicError('exists', `there is ${rootfs} already`);
  return await inCache(options, async (cachedir, work) => {
    const previous = options.previous ?? (treefile.ref === undefined ? null : repo.readRef(treefile.ref));
    const { before, accounts } = lookBack(repo, previous);
    const planned = await plan({ ...options, cachedir }, repo, before);
    await options.onPlan?.(planned);
    const result = { packages: planned.packages.length, inputHash: planned.inputHash };
    if (isUnchanged(planned.inputHash, before, options)) return { ...result, rootfs: null };
    const root = join(work, 'tree');
    await installPackages(root, planned, options.layerRepo ?? repo, { ...options, cachedir });
    await applyToRoot(root, planned, accounts, { ...options, cachedir });
    if (options.shape) await shape(root, planned, { ...options, cachedir });
    mkdirSync(dirname(rootfs), { recursive: true });
    // Before the root is there: none is without.
    writeNotes(rootfs, {
      inputHash: planned.inputHash,
      version: planned.version,
      variables: Object.fromEntries(treefile.given.variables),
      disableSelinux: treefile.given.disableSelinux,
      sourceRoot: options.sourceRoot === undefined ? undefined : resolve(options.sourceRoot),
      proxy: options.proxy,
      lock: options.lock,
    });
    await putInPlace(root, rootfs);
    return { ...result, rootfs };
  });
}

async function shape(
  root: string,
  planned: Pick<Plan, 'manager' | 'repositories' | 'initramfs' | 'version'>,
  options: Pick<ComposeOptions, 'treefile' | 'cachedir' | 'lock' | 'signal' | 'progress'>,
): Promise<void> {
  const { treefile } = options;
  const initramfs = await initramfsFor(root, planned, options);
  shapeRoot(root, treefile, { manager: planned.manager, version: planned.version, initramfs });
}

/** Moves a finished root; to another file system by way of a copy aside. */
async function putInPlace(root: string, rootfs: string): Promise<void> {
  try {
    renameSync(root, rootfs);
  } catch (error) {
    if (errnoCode(error) !== 'EXDEV') throw error;
    rmSync(`${rootfs}.part`, { recursive: true, force: true });
    await run('cp', ['-a', root, `${rootfs}.part`]);
    renameSync(`${rootfs}.part`, rootfs);
  }
}

/**
 * The second step: gives an installed root, in place, the shape of a deployment, its initramfs made. The treefile is that
 * of `treefileOf`, here and in the last step.
 */
export async function composePostprocess(
  rootfs: string,
  options: Pick<ComposeOptions, 'treefile' | 'cachedir' | 'cacheOnly' | 'wait' | 'onWait' | 'signal' | 'progress'>,
): Promise<void> {
  requireDirectory(rootfs);
  if (!existsSync(join(rootfs, 'etc')))
    throw new AtomicError('invalid', `${rootfs} has no /etc: it has the shape of a deployment already, or is no root`);
  await inCache(options, async (cachedir) => {
    const { treefile, signal, progress } = options;
    const notes = readNotes(rootfs);
    const manager = managerOf(treefile, cachedir, notes);
    if (notes === undefined) {
      // Not from `install`, which cleans before it adds: the host keys of whoever made it must not be everybody's.
      cleanEtc(rootfs);
      if (treefile.hostname !== undefined) writeInTree(rootfs, 'etc/hostname', `${treefile.hostname}\n`);
    }
    // Only an initramfs needs packages.
    const needsPackages = !treefile.noInitramfs && findKernel(rootfs) !== undefined;
    const repositories = needsPackages
      ? (await manager.refresh({ signal, progress, cacheOnly: options.cacheOnly })).id
      : '';
    const { version, lock } = notes ?? {};
    await shape(rootfs, { manager, repositories, initramfs: null, version }, { ...options, lock, cachedir });
  });
}

export interface CommitStepResult {
  commit: Checksum;
  ref: string | undefined;
  stats: TransactionStats;
}

/** The last step: commits a root that has the shape of a deployment. Without a ref in the treefile the commit has none. */
export async function composeCommit(
  rootfs: string,
  options: ComposeOptions & { treefile: Treefile; repo: Repo },
): Promise<CommitStepResult> {
  const { treefile, repo } = options;
  requireRoot();
  requireDirectory(rootfs);
  if (!existsSync(join(rootfs, 'usr/etc')))
    throw new AtomicError('invalid', `${rootfs} has no /usr/etc: it has not the shape of a deployment`, {
      hint: `run first: atomic compose postprocess ${rootfs} ${treefile.path}`,
    });
  const parent =
    options.parent === undefined ? (treefile.ref === undefined ? null : repo.readRef(treefile.ref)) : options.parent;
  checkAccounts(rootfs, treefile, lookBack(repo, options.previous ?? parent).accounts);
  const notes = readNotes(rootfs);
  const { commit, stats } = await commitRoot(rootfs, {
    ...options,
    manager: managerOf(treefile, resolve(options.cachedir), notes),
    parent,
    version: options.version ?? treefile.version ?? notes?.version,
    timestamp: treefile.timestamp ?? options.timestamp ?? Math.floor(Date.now() / 1000),
    inputHash: notes?.inputHash,
    kernel: treefile.container ? undefined : findKernel(rootfs),
    orphan: options.orphan || treefile.ref === undefined,
  });
  return { commit, ref: options.orphan ? undefined : treefile.ref, stats };
}

function requireDirectory(rootfs: string): void {
  if (!existsSync(join(rootfs, 'usr')))
    throw new AtomicError('not-found', `there is no root file system in ${rootfs}`, {
      hint: 'compose install makes one in DESTINATION/rootfs',
    });
}
