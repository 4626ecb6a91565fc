import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { errnoCode } from '@atomic/linux';
import { type BeginOptions, type Checksum, isAsideName, prune } from '@atomic/ostree';
import { chooseBootloader } from './bootloader/choose.ts';
import { UPDATE_STAMP } from './bootloader/zipl.ts';
import { noteAvailableUpdate } from './change/available-update.ts';
import type { SysrootState } from './deployment.ts';
import { removeTree } from './durable.ts';
import { removeLayeringWork, removeUnusedPackages } from './layers/package-store.ts';
import { type DeploymentId, deploymentPath, parseDeploymentName } from './layout.ts';
import { forgetOldLive } from './live/live-state.ts';
import { removeOldOverlays } from './overlay-initrd.ts';
import type { Sysroot } from './sysroot.ts';

export interface CleanupResult {
  deploymentsRemoved: number;
  kernelsRemoved: number;
  /** Null when the repository was left alone. */
  pruned: { objects: number; bytes: number } | null;
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (errnoCode(error) === 'ENOENT' || errnoCode(error) === 'ENOTDIR') return [];
    throw error;
  }
}

/** Removes a deployment's files. Its tree goes last: as long as that is there, the next cleanup finds the rest. */
export function removeDeployment(sysroot: Sysroot, id: DeploymentId): void {
  const tree = sysroot.layout.deployment(id);
  const stat = statSync(tree, { throwIfNoEntry: false });
  const root = statSync(sysroot.root);
  // Never the ground we stand on, whatever the boot entries say.
  if (stat !== undefined && stat.dev === root.dev && stat.ino === root.ino) return;
  rmSync(sysroot.layout.backing(id), { recursive: true, force: true });
  rmSync(sysroot.layout.origin(id), { force: true });
  removeTree(tree);
}

function removeOtherBootVersions(sysroot: Sysroot, state: SysrootState): void {
  const { layout } = sysroot;
  const other = state.bootVersion === 0 ? 1 : 0;
  const paths = [
    layout.loader(other),
    layout.bootLinks(other),
    layout.bootLinks(other, 0),
    layout.bootLinks(other, 1),
    layout.bootLinks(state.bootVersion, state.subbootVersion === 0 ? 1 : 0),
    `${layout.boot}/loader.tmp`,
    `${layout.boot}/loader.tmp.atomic-tmp`,
    `${layout.bootLinks(0)}.atomic-tmp`,
    `${layout.bootLinks(1)}.atomic-tmp`,
  ];
  for (const path of paths) rmSync(path, { recursive: true, force: true });
}

function removeOldDeployments(sysroot: Sysroot, state: SysrootState): number {
  const active = new Set(state.deployments.map(deploymentPath));
  let removed = 0;
  for (const os of list(sysroot.layout.stateroots)) {
    for (const name of list(sysroot.layout.at('ostree/deploy', os, 'deploy'))) {
      // An origin being replaced when the power went.
      if (isAsideName(name)) rmSync(sysroot.layout.at('ostree/deploy', os, 'deploy', name), { force: true });
      const parsed = parseDeploymentName(name.endsWith('.origin') ? name.slice(0, -'.origin'.length) : name);
      if (parsed === null || active.has(deploymentPath({ os, ...parsed }))) continue;
      if (!name.endsWith('.origin')) removed++;
      removeDeployment(sysroot, { os, ...parsed });
    }
  }
  return removed;
}

/**
 * A boot loader that has to be told of a switch may not have been, when the power went: it leads to the old kernels, so
 * it is told before these are removed. Throws what its program says.
 */
async function finishSwitch(sysroot: Sysroot, state: SysrootState, signal?: AbortSignal): Promise<void> {
  if (!existsSync(sysroot.layout.at(UPDATE_STAMP))) return;
  const deployments = state.deployments.filter(({ staged }) => !staged);
  const { bootVersion } = state;
  await chooseBootloader(sysroot)?.afterSwap?.({ sysroot, bootVersion, deployments, entries: [], trial: null, signal });
}

/** Removes kernels in /boot that no deployment needs. */
export function removeOldKernels(sysroot: Sysroot, state: SysrootState): number {
  const active = new Set(state.deployments.map(({ bootChecksum }) => bootChecksum));
  let removed = 0;
  for (const name of list(sysroot.layout.kernels)) {
    const checksum = /-([0-9a-f]{64})$/.exec(name)?.[1];
    if (checksum === undefined || active.has(checksum)) continue;
    rmSync(`${sysroot.layout.kernels}/${name}`, { recursive: true, force: true });
    removed++;
  }
  removeOldOverlays(sysroot, state.deployments);
  return removed;
}

/** What packages were layered on has no deployment of its own: `rpmostree/base/N` keeps it, as with rpm-ostree. */
const BASE_REF = /^rpmostree\/base\/\d+$/;

/** The commits that deployed ones were made from on this machine, as far as they are there. */
function basesOf(sysroot: Sysroot, state: SysrootState): Checksum[] {
  const bases = state.deployments.filter(({ base, checksum }) => base !== checksum).map(({ base }) => base);
  return [...new Set(bases)].filter((base) => sysroot.repo.hasObject('commit', base));
}

/** The refs `ostree/V/S/N` keep deployed commits from being pruned, by us or by stock tools. */
async function writeDeploymentRefs(sysroot: Sysroot, state: SysrootState, options: BeginOptions): Promise<void> {
  const prefix = `ostree/${state.bootVersion}/${state.subbootVersion}`;
  const wanted = new Map(state.deployments.map(({ checksum }, index) => [`${prefix}/${index}`, checksum]));
  basesOf(sysroot, state).forEach((base, index) => {
    wanted.set(`rpmostree/base/${index}`, base);
  });
  const ours = (ref: string) => /^ostree\/[01]\/[01]\/\d+$/.test(ref) || BASE_REF.test(ref);
  const there = new Map([...sysroot.repo.listRefs()].filter(([ref]) => ours(ref)));
  const added = [...wanted].filter(([ref, checksum]) => there.get(ref) !== checksum);
  const old = [...there.keys()].filter((ref) => !wanted.has(ref));
  if (added.length === 0 && old.length === 0) return;
  await using transaction = await sysroot.repo.begin(options);
  // New ones first: a crash in between keeps too much, never too little.
  for (const [ref, checksum] of added) transaction.setRef(ref, checksum);
  for (const ref of old) transaction.setRef(ref, null);
  await transaction.commit();
}

/** Whether a commit is there that neither a ref nor a deployment names. */
function hasOldCommits(sysroot: Sysroot, state: SysrootState): boolean {
  const kept = new Set([...sysroot.repo.listRefs().values(), ...state.deployments.map(({ checksum }) => checksum)]);
  for (const { checksum } of sysroot.repo.listObjects({ only: 'commit' })) if (!kept.has(checksum)) return true;
  return false;
}

/**
 * When to prune the repository. Walking every tree costs seconds on a slow machine, and objects without a commit are
 * only left by an interrupted prune, so operations look for old commits first.
 */
export type Prune = 'always' | 'old-commits' | 'never';

/**
 * Removes what nothing refers to: the boot version not in use, trees and kernels that are not deployed (leftovers of
 * interrupted runs among them) and, as `prune` says, objects no deployment or ref reaches. Only called once the boot
 * loader's switch is durable. A crash leaves less to do.
 */
export async function cleanup(
  sysroot: Sysroot,
  options: BeginOptions & { prune?: Prune | undefined } = {},
): Promise<CleanupResult> {
  using _lock = await sysroot.lock(options);
  const state = sysroot.load();
  await finishSwitch(sysroot, state, options.signal);
  removeOtherBootVersions(sysroot, state);
  forgetOldLive(sysroot, state);
  const deploymentsRemoved = removeOldDeployments(sysroot, state);
  const kernelsRemoved = removeOldKernels(sysroot, state);
  await writeDeploymentRefs(sysroot, state, options);
  const mode = options.prune ?? 'always';
  // One that was just given is named by an origin only once its deployment is written.
  if (mode !== 'never') {
    removeUnusedPackages(sysroot, state.deployments);
    removeLayeringWork(sysroot);
  }
  if (mode === 'never' || (mode === 'old-commits' && !hasOldCommits(sysroot, state))) {
    return { deploymentsRemoved, kernelsRemoved, pruned: null };
  }
  const { deleted, freedBytes } = await prune(sysroot.repo, {
    refsOnly: true,
    depth: 0,
    keep: [...state.deployments.map(({ checksum }) => checksum), ...basesOf(sysroot, state)],
    signal: options.signal,
    wait: options.wait,
    onWait: options.onWait,
  });
  return { deploymentsRemoved, kernelsRemoved, pruned: { objects: deleted, bytes: freedBytes } };
}

/** Forgets what was kept of remotes: their summaries, and updates that a check found. They are fetched anew when needed. */
export function forgetMetadata(sysroot: Sysroot): void {
  rmSync(`${sysroot.repo.path}/tmp/cache`, { recursive: true, force: true });
  for (const os of list(sysroot.layout.stateroots)) noteAvailableUpdate(sysroot, os, null);
}
