import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { AtomicError, type BeginOptions, replaceFile } from '@atomic/ostree';
import { measureBootSpace, requireBootSpace } from './boot-space.ts';
import { cleanup, removeDeployment } from './cleanup.ts';
import { finishTree } from './deploy.ts';
import { type Deployment, type SysrootState, sameDeployment } from './deployment.ts';
import { lastProven } from './health/last-proven.ts';
import { writeOrigin } from './origin.ts';
import { readStaged, writeStaged } from './staged-file.ts';
import type { Sysroot } from './sysroot.ts';
import { FINALIZE_UNIT, STOCK_FINALIZE_UNIT } from './systemd.ts';
import { type LogOptions, withDeployment, writeDeployments } from './write-deployments.ts';

/** Where a finalization that failed at shutdown says why (upstream's name and place). */
const failurePath = (sysroot: Sysroot) => `${sysroot.layout.kernels}/finalize-failure.stamp`;

/**
 * Notes that `deployment` (its tree is made) is to be switched to at shutdown, and sees to the unit that does it. The
 * note is in /run: after a power cut nothing is staged and the tree is a leftover. Throws `no-space` when /boot has no
 * room for its kernel.
 */
export async function stageDeployment(
  sysroot: Sysroot,
  state: SysrootState,
  deployment: Deployment,
  merge: Deployment | null,
  options: { kargs?: string[] | null; locked?: boolean | undefined } = {},
): Promise<void> {
  // Now, while somebody can do something about it: at shutdown it would only be a failure.
  if (!sysroot.noEarlyPrune) {
    const written = { ...state, staged: null, deployments: state.deployments.filter(({ staged }) => !staged) };
    const list = withDeployment(written, deployment, merge, { besides: lastProven(sysroot, written) });
    requireBootSpace(sysroot, measureBootSpace(sysroot, written, list));
  }
  // First, and checked: a staged deployment without it would never come to be.
  await startFinalizer(sysroot);
  if (deployment.origin !== null) writeOrigin(sysroot.layout.origin(deployment), deployment.origin);
  writeStaged(sysroot.stagedPath, {
    target: deployment,
    mergeDeployment: merge,
    // Null: those of the merge deployment, whatever they are at shutdown.
    kargs: options.kargs === undefined ? deployment.commandLine : options.kargs,
    locked: options.locked === true,
    overlayInitrds: deployment.overlayInitrds,
    extra: new Map(deployment.entry?.entries()),
  });
  if (state.staged !== null && !sameDeployment(state.staged, deployment)) removeDeployment(sysroot, state.staged);
  if (options.locked === true) writeLegacyLock(sysroot);
  else rmSync(sysroot.stagedLockPath, { force: true });
  rmSync(failurePath(sysroot), { force: true });
  sysroot.touch();
  await cleanup(sysroot, { prune: 'never' });
}

/** Starts the unit whose end, at shutdown, switches: ours, or stock's on a host that stock set up. */
async function startFinalizer(sysroot: Sysroot): Promise<void> {
  try {
    await sysroot.system.startUnit(FINALIZE_UNIT);
  } catch (error) {
    await sysroot.system.startUnit(STOCK_FINALIZE_UNIT).catch(() => {
      throw error;
    });
  }
}

/** Older libostree looks for a file instead of the field. */
function writeLegacyLock(sysroot: Sysroot): void {
  mkdirSync(dirname(sysroot.stagedLockPath), { recursive: true, mode: 0o755 });
  writeFileSync(sysroot.stagedLockPath, '', { mode: 0o640 });
}

/**
 * Locks the staged deployment, so that no shutdown switches to it, or unlocks it (`ostree admin lock-finalization`).
 * Returns whether that changed anything; throws `not-found` when nothing is staged.
 */
export async function lockFinalization(
  sysroot: Sysroot,
  locked: boolean,
  options: BeginOptions = {},
): Promise<boolean> {
  using _lock = await sysroot.lock(options);
  const { staged } = sysroot.load();
  const data = readStaged(sysroot.stagedPath);
  if (staged === null || data === null) throw new AtomicError('not-found', 'No staged deployment');
  if (staged.finalizationLocked === locked) return false;
  writeStaged(sysroot.stagedPath, { ...data, locked });
  if (locked) writeLegacyLock(sysroot);
  else rmSync(sysroot.stagedLockPath, { force: true });
  return true;
}

/** Gives a staged deployment other kernel arguments; throws `not-found` when nothing is staged. */
export function setStagedKargs(sysroot: Sysroot, kargs: readonly string[]): void {
  const data = readStaged(sysroot.stagedPath);
  if (data === null) throw new AtomicError('not-found', 'No staged deployment');
  writeStaged(sysroot.stagedPath, { ...data, kargs: [...kargs] });
}

/**
 * Run early in a boot: reports, once, why the shutdown before did not switch (thrown as `failed`), and completes a soft
 * reboot.
 */
export function bootComplete(sysroot: Sysroot): void {
  const failure = lastFinalizeFailure(sysroot);
  if (failure !== null) {
    rmSync(failurePath(sysroot), { force: true });
    throw new AtomicError('failed', `ostree-finalize-staged.service failed on previous boot: ${failure}`);
  }
  const nextRoot = `${sysroot.run}/ostree/nextroot-booted`;
  if (existsSync(nextRoot)) renameSync(nextRoot, `${sysroot.run}/ostree-booted`);
}

/** Why the last finalization failed, or null. */
export function lastFinalizeFailure(sysroot: Sysroot): string | null {
  if (!existsSync(failurePath(sysroot))) return null;
  return readFileSync(failurePath(sysroot), 'utf8').trim();
}

/**
 * Switches to what is staged; run at shutdown, when /etc no longer changes. Returns the deployment, or null when
 * nothing is staged or it is locked. A failure is noted in /boot for the next boot to report, and thrown.
 */
export async function finalizeStaged(
  sysroot: Sysroot,
  options: BeginOptions & LogOptions = {},
): Promise<Deployment | null> {
  using _lock = await sysroot.lock(options);
  try {
    const finished = await finalize(sysroot, options);
    rmSync(failurePath(sysroot), { force: true });
    return finished;
  } catch (error) {
    mkdirSync(sysroot.layout.kernels, { recursive: true });
    replaceFile(failurePath(sysroot), error instanceof Error ? error.message : String(error), { mode: 0o644 });
    throw error;
  }
}

async function finalize(sysroot: Sysroot, options: BeginOptions & LogOptions): Promise<Deployment | null> {
  const state = sysroot.load();
  const { staged } = state;
  const data = readStaged(sysroot.stagedPath);
  if (staged === null || data === null) return null;
  if (data.locked || existsSync(sysroot.stagedLockPath)) return null;
  const merge = state.deployments.find((deployment) => sameDeployment(deployment, data.mergeDeployment)) ?? null;
  if (merge === null && data.mergeDeployment !== null) {
    const { checksum, serial } = data.mergeDeployment;
    throw new AtomicError('not-found', `Failed to find merge deployment ${checksum}.${serial} for staged`);
  }
  // Its note goes first: interrupted from here on, the old system boots and the tree is a leftover, never half used.
  rmSync(sysroot.stagedPath);
  finishTree(sysroot, state, staged, merge, options);
  const settled: SysrootState = {
    ...state,
    staged: null,
    deployments: state.deployments.filter((deployment) => !deployment.staged),
  };
  const besides = lastProven(sysroot, settled);
  const list = withDeployment(settled, { ...staged, staged: false }, merge, { besides });
  // The shutdown waits for us: objects are pruned by the next upgrade.
  const after = await writeDeployments(sysroot, settled, list, { ...options, cleanup: 'prepare' });
  return after.deployments[0] ?? null;
}
