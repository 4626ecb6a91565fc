import { existsSync, lstatSync, mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { errnoCode, renameat2, syncfsPath } from '@atomic/linux';
import { AtomicError, type BeginOptions, replaceFile } from '@atomic/ostree';
import { makeEntry } from './boot-entry.ts';
import { kernelFolder, measureBootSpace, requireBootSpace } from './boot-space.ts';
import { entryFileName } from './bootloader/bls.ts';
import type { Bootloader, BootUpdate } from './bootloader/bootloader.ts';
import { chooseBootloader } from './bootloader/choose.ts';
import { GRUB_CONFIG } from './bootloader/grub.ts';
import { hasTrial, planTrial } from './bootloader/trial.ts';
import { cleanup, removeDeployment, removeOldKernels } from './cleanup.ts';
import { type Deployment, type SysrootState, sameDeployment } from './deployment.ts';
import { flushForBoot, freshDirectory, replaceSymlink } from './durable.ts';
import { formatKargs } from './kargs.ts';
import { findKernel, installKernel } from './kernel.ts';
import { deploymentName } from './layout.ts';
import { installOverlayInitrds } from './overlay-initrd.ts';
import type { Sysroot } from './sysroot.ts';

/** What stock tells the journal while it changes deployments; for whoever shows it. */
export interface LogOptions {
  log?: ((message: string) => void) | undefined;
}

export interface WriteOptions extends BeginOptions, LogOptions {
  /** What to remove afterwards: everything unused, everything but repository objects, or nothing. */
  cleanup: 'full' | 'prepare' | 'none';
}

/** A deployment as it is about to be written: its place among those that share its kernel is settled. */
type Placed = Deployment & { index: number; bootSerial: number };

function place(deployments: readonly Deployment[]): Placed[] {
  const serials = new Map<string, number>();
  return deployments.map((deployment, index) => {
    const bootSerial = serials.get(deployment.bootChecksum) ?? 0;
    serials.set(deployment.bootChecksum, bootSerial + 1);
    return { ...deployment, index, bootSerial };
  });
}

/** Whether two deployments make the same boot entry, `ostree=` aside. */
const sameBoot = (a: Deployment, b: Deployment): boolean =>
  a.bootChecksum === b.bootChecksum &&
  formatKargs(a.kargs) === formatKargs(b.kargs) &&
  a.version === b.version &&
  a.os === b.os &&
  a.overlayInitrds.join() === b.overlayInitrds.join();

/**
 * Makes `next` the deployments that can be booted, in that order (ostree_sysroot_write_deployments). Their trees are
 * there already. The switch is one rename: of `boot/loader` when boot entries change, of `ostree/boot.V` when only the
 * trees behind them do. Before it everything new is written beside the old and flushed; after it, once the rename is
 * durable where a boot loader looks, the old is removed. A power cut at any point boots the old or the new list.
 */
export async function writeDeployments(
  sysroot: Sysroot,
  state: SysrootState,
  next: readonly Deployment[],
  options: WriteOptions,
): Promise<SysrootState> {
  const { staged } = state;
  const current = state.deployments.filter((deployment) => !deployment.staged);
  if (staged !== null && !sameDeployment(next[0] ?? null, staged)) {
    // The list decides; what was staged before is no longer wanted. Its file first: without it, it is only a leftover.
    rmSync(sysroot.stagedPath, { force: true });
    removeDeployment(sysroot, staged);
    rmSync(sysroot.stagedLockPath, { force: true });
  }
  const list = place(next.filter((deployment) => !deployment.staged));
  if (state.booted !== null && !list.some((deployment) => sameDeployment(deployment, state.booted))) {
    throw new AtomicError('invalid', 'Attempting to remove booted deployment');
  }
  for (const deployment of list) {
    if (!existsSync(sysroot.layout.deployment(deployment))) {
      throw new AtomicError('not-found', `Unable to find expected deployment root: ${deployment.path}`);
    }
  }

  const menu = `${sysroot.layout.loader(state.bootVersion)}/${GRUB_CONFIG}`;
  const menuMissing = sysroot.config.grubMenu && !existsSync(menu);
  // Who is on trial is written with the entries.
  const trialChanges =
    !sameDeployment(list[0] ?? null, current[0] ?? null) &&
    (planTrial(sysroot, state, list) !== null || hasTrial(sysroot, state));
  const sameEntries =
    !menuMissing &&
    !trialChanges &&
    list.length === current.length &&
    list.every((deployment, index) => {
      const before = current[index];
      return before !== undefined && sameBoot(before, deployment);
    });
  const swapsLinks = sameEntries && list.some((one, index) => !sameDeployment(one, current[index] ?? null));
  if (!sameEntries || swapsLinks) {
    const done = sameEntries
      ? await switchLinks(sysroot, state, list)
      : await switchLoader(sysroot, state, list, options);
    options.log?.(
      `${done.atomic ? 'Transaction complete' : 'Bootloader updated'}; bootconfig swap: ${sameEntries ? 'no' : 'yes'}; ` +
        `bootversion: ${done.links}, deployment count change: ${list.length - current.length}`,
    );
  }
  sysroot.touch();
  if (options.cleanup !== 'none')
    await cleanup(sysroot, { ...options, prune: options.cleanup === 'full' ? 'old-commits' : 'never' });
  return sysroot.load();
}

/** Writes the link farm `ostree/boot.V.S` for the subversion not in use; returns the folder's name. */
function writeBootLinks(sysroot: Sysroot, bootVersion: 0 | 1, list: readonly Placed[]): string {
  const subversion = sysroot.subversionOf(bootVersion) === 0 ? 1 : 0;
  const folder = sysroot.layout.bootLinks(bootVersion, subversion);
  freshDirectory(folder);
  for (const deployment of list) {
    const parent = `${folder}/${deployment.os}/${deployment.bootChecksum}`;
    mkdirSync(parent, { recursive: true, mode: 0o755 });
    symlinkSync(
      `../../../deploy/${deployment.os}/deploy/${deploymentName(deployment)}`,
      `${parent}/${deployment.bootSerial}`,
    );
  }
  return `boot.${bootVersion}.${subversion}`;
}

/** How a switch went: which link farm is in use now, and whether one rename did it. */
interface Switched {
  links: string;
  atomic: boolean;
}

/** Same kernels and arguments: the entries stay, the link they go through is swapped. */
async function switchLinks(sysroot: Sysroot, state: SysrootState, list: readonly Placed[]): Promise<Switched> {
  const name = writeBootLinks(sysroot, state.bootVersion, list);
  if (sysroot.testFreeze) await flushForBoot(sysroot.layout.boot, false, true);
  // A cut before the swap leaves an unused boot.V.S; trees and links are whole on disk before anything points at them.
  syncfsPath(sysroot.layout.ostree);
  replaceSymlink(name, sysroot.layout.bootLinks(state.bootVersion));
  // The old trees are removed next: not before the swap is on disk.
  syncfsPath(sysroot.layout.ostree);
  return { links: name, atomic: true };
}

async function switchLoader(
  sysroot: Sysroot,
  state: SysrootState,
  list: readonly Placed[],
  options: WriteOptions,
): Promise<Switched> {
  const { layout } = sysroot;
  const version = state.bootVersion === 0 ? 1 : 0;
  const kernels = list.map((deployment) => findKernel(layout.deployment(deployment), sysroot));
  const base = await makeRoom(sysroot, state, list, options);
  if (base.bootVersion !== state.bootVersion) return switchLoader(sysroot, base, list, options);
  const bootloader = chooseBootloader(sysroot);

  // Everything from here to the rename goes to names the boot loader does not look at; a cut leaves them to cleanup.
  freshDirectory(layout.loader(version));
  mkdirSync(`${layout.loader(version)}/entries`, { mode: 0o755 });
  const showOs = new Set(list.map(({ os }) => os)).size > 1;
  const trial = planTrial(sysroot, state, list);
  const entries: string[] = [];
  for (const [index, deployment] of list.entries()) {
    const kernel = kernels[index];
    if (kernel === undefined) throw new Error('a kernel for every deployment');
    installKernel(kernel, kernelFolder(sysroot, deployment));
    installOverlayInitrds(sysroot, deployment);
    const entry = makeEntry(sysroot, deployment, kernel, { bootVersion: version, count: list.length, showOs });
    const file = entryFileName(list.length, index, entryNaming(sysroot, deployment, bootloader));
    entries.push(file);
    replaceFile(`${layout.loader(version)}/entries/${file}`, entry.toString(), { mode: 0o644, sync: false });
  }
  const links = writeBootLinks(sysroot, version, list);
  replaceSymlink(links, layout.bootLinks(version));
  const { signal } = options;
  const update: BootUpdate = { sysroot, bootVersion: version, deployments: list, entries, trial, signal };
  const live = state.booted !== null;
  if (bootloader?.atomic === false) {
    // What it writes counts at once, so what that names has to be on the disk before.
    syncfsPath(layout.ostree);
    await flushForBoot(layout.boot, live);
  }
  await bootloader?.write?.(update);
  // Lets paths that begin with /boot work where /boot is a partition of its own.
  if (lstatSync(`${layout.boot}/boot`, { throwIfNoEntry: false }) === undefined)
    symlinkSync('.', `${layout.boot}/boot`);
  replaceSymlink(`loader.${version}`, `${layout.boot}/loader.tmp`);

  syncfsPath(layout.ostree);
  await flushForBoot(layout.boot, live, sysroot.testFreeze);
  // The switch. A cut before it boots the old list, after it the new one.
  swapLoader(layout.boot);
  // A boot loader reads the disk without its journal: were the old links and kernels removed before the rename is out
  // of the journal, it would still see the old entries and they would lead nowhere.
  await flushForBoot(layout.boot, live);
  rmSync(`${layout.boot}/loader.tmp`, { force: true });
  await bootloader?.afterSwap?.(update);
  return { links, atomic: bootloader?.atomic === true };
}

/**
 * Makes `loader.tmp` the `loader`. The two change places: a rename over the old link would free its inode, and of a disk
 * that lost its power amid the writes a boot loader may see that inode gone and the name still on it.
 */
function swapLoader(boot: string): void {
  const [next, current] = [`${boot}/loader.tmp`, `${boot}/loader`];
  try {
    renameat2(next, current, { exchange: true });
  } catch (error) {
    // There is none yet, or the file system cannot.
    if (!['ENOENT', 'EINVAL', 'ENOSYS'].includes(errnoCode(error) ?? '')) throw error;
    renameSync(next, current);
  }
}

/** How the name of a deployment's entry is made on this disk. */
const entryNaming = (sysroot: Sysroot, { os, tries }: Deployment, bootloader: Bootloader | null) => ({
  os: sysroot.oldEntryNames ? os : undefined,
  maxTries: bootloader?.counts === true ? 0 : sysroot.config.bootCountingTries,
  tries,
});

/**
 * Checks that /boot has room for the kernels to come. Where it has not, but would without those that only deployments
 * on their way out need, the list is first written without these (they are given up either way). Returns the state to
 * go on from; throws `no-space` before anything is changed when that would not help.
 */
async function makeRoom(
  sysroot: Sysroot,
  state: SysrootState,
  list: readonly Placed[],
  options: WriteOptions,
): Promise<SysrootState> {
  if (sysroot.noEarlyPrune) return state;
  const before = measureBootSpace(sysroot, state, list);
  if (before.free >= before.needed) return state;
  // Kernels of no deployment: leftovers of interrupted runs.
  removeOldKernels(sysroot, { ...state, deployments: [...state.deployments, ...list] });
  const space = measureBootSpace(sysroot, state, list);
  if (space.free >= space.needed) return state;
  requireBootSpace(sysroot, space);
  const shorter = await writeDeployments(sysroot, { ...state, staged: null }, space.keep, {
    ...options,
    cleanup: 'none',
  });
  removeOldKernels(sysroot, { ...shorter, deployments: [...shorter.deployments, ...list] });
  requireBootSpace(sysroot, { ...measureBootSpace(sysroot, shorter, list), reclaimable: 0 });
  return shorter;
}

/** Which of the others stay when a deployment is added. Pinned ones, the booted one and other systems' always do. */
export interface Retain {
  all?: boolean | undefined;
  pending?: boolean | undefined;
  rollback?: boolean | undefined;
  /** Puts the new one after the booted (or merge) deployment, not first. */
  notAsDefault?: boolean | undefined;
  /** One that stays besides: what a machine on trial goes back to. */
  besides?: Deployment | null | undefined;
}

/** The list with `added` in it and what is to be kept (ostree_sysroot_simple_write_deployment). */
export function withDeployment(
  state: SysrootState,
  added: Deployment,
  merge: Deployment | null,
  retain: Retain = {},
): Deployment[] {
  const all = retain.all || (state.booted === null && merge === null && (retain.pending || retain.rollback));
  const crossover = state.booted ?? merge;
  const written = { ...added, staged: false };
  const list: Deployment[] = [];
  let passed = false;
  let placed = retain.notAsDefault !== true;
  if (placed) list.push(written);
  for (const deployment of state.deployments) {
    // What is staged stays only where it stays first.
    if (deployment.staged && list.length > 0) continue;
    if (sameDeployment(deployment, crossover)) passed = true;
    const keep =
      all ||
      deployment.pinned ||
      deployment.os !== added.os ||
      deployment.booted ||
      sameDeployment(deployment, merge) ||
      sameDeployment(deployment, retain.besides ?? null) ||
      (retain.pending && !passed) ||
      (retain.rollback && passed);
    if (keep) list.push(deployment);
    if (!placed && passed) {
      list.push(written);
      placed = true;
    }
  }
  if (!placed) list.push(written);
  return list;
}
