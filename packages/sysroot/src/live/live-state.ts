import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { type Checksum, isChecksum } from '@atomic/ostree';
import type { Deployment, SysrootState } from '../deployment.ts';
import { type DeploymentId, deploymentName } from '../layout.ts';
import type { Sysroot } from '../sysroot.ts';

/**
 * What is known of a /usr that was switched while it runs; the places are rpm-ostree's (rust/src/live.rs). The refs keep
 * the objects; the stamp, in /run, says that they are of this boot.
 */
export interface LiveState {
  /** What /usr shows now; null for the booted tree. */
  commit: Checksum | null;
  /** What it is being switched to, or was when that was cut off. */
  inProgress: Checksum | null;
}

export const LIVE_REF = 'rpmostree/live-apply';
export const LIVE_REF_IN_PROGRESS = 'rpmostree/live-apply-inprogress';

const runState = (sysroot: Sysroot, id: Pick<DeploymentId, 'checksum' | 'serial'>) =>
  `${sysroot.run}/ostree/deployment-state/${deploymentName(id)}`;
const stamp = (sysroot: Sysroot, booted: Deployment) => `${runState(sysroot, booted)}/rpmostree-is-live.stamp`;
/** Ours: trees of this boot may be in use even after a reset. */
const used = (sysroot: Sysroot, booted: Deployment) => `${runState(sysroot, booted)}/atomic-live-trees.stamp`;

/** Where trees that /usr shows are kept: one folder each, named by the commit. */
export const liveFolder = (sysroot: Sysroot, booted: DeploymentId): string => `${sysroot.layout.backing(booted)}/live`;

/** What the running system's /usr was switched to; null when it never was in this boot. */
export function readLiveState(sysroot: Sysroot, deployment: Deployment): LiveState | null {
  if (!deployment.booted || !existsSync(stamp(sysroot, deployment))) return null;
  const commit = sysroot.repo.readRef(LIVE_REF);
  return {
    commit: commit === deployment.checksum ? null : commit,
    inProgress: sysroot.repo.readRef(LIVE_REF_IN_PROGRESS),
  };
}

export function writeLiveState(sysroot: Sysroot, booted: Deployment, state: LiveState): void {
  mkdirSync(runState(sysroot, booted), { recursive: true, mode: 0o755 });
  if (state.commit === null && state.inProgress === null) rmSync(stamp(sysroot, booted), { force: true });
  else for (const path of [stamp(sysroot, booted), used(sysroot, booted)]) writeFileSync(path, '');
  sysroot.repo.setRef(LIVE_REF, state.commit);
  sysroot.repo.setRef(LIVE_REF_IN_PROGRESS, state.inProgress);
}

/**
 * What the /etc of a deployment is counted against where /usr was switched while it runs: /etc followed the new
 * defaults, so these are no local changes. Null for all others.
 */
export function liveEtcDefaults(sysroot: Sysroot, deployment: Deployment): string | null {
  const commit = readLiveState(sysroot, deployment)?.commit ?? null;
  if (commit === null || !isChecksum(commit)) return null;
  const path = `${liveFolder(sysroot, deployment)}/${commit}/usr/etc`;
  return existsSync(path) ? path : null;
}

/** Removes what earlier boots left of this: trees, and refs that would keep their objects. */
export function forgetOldLive(sysroot: Sysroot, state: SysrootState): void {
  const { booted } = state;
  if (booted === null) return;
  for (const deployment of state.deployments) {
    if (deployment === booted && existsSync(used(sysroot, booted))) continue;
    rmSync(liveFolder(sysroot, deployment), { recursive: true, force: true });
  }
  if (existsSync(stamp(sysroot, booted))) return;
  for (const ref of [LIVE_REF, LIVE_REF_IN_PROGRESS])
    if (sysroot.repo.readRef(ref) !== null) sysroot.repo.setRef(ref, null);
}
