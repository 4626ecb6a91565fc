import type { BeginOptions, Checksum, KeyFile, Progress } from '@atomic/ostree';
import { cleanup } from '../cleanup.ts';
import { deploy } from '../deploy.ts';
import type { Deployment } from '../deployment.ts';
import { noteHistory } from '../history.ts';
import { inheritOrigin } from '../origin.ts';
import type { Sysroot } from '../sysroot.ts';
import { baseDeployment, chooseOs, requireOrigin } from './change.ts';

/** How operations that deploy the same commit again, changed, go about it. */
export interface RedeployOptions extends BeginOptions {
  /** Which system (stateroot); default: the booted one, else the only one. */
  os?: string | undefined;
  /** Default: staged on the running system, deployed at once on any other. */
  stage?: boolean | undefined;
  /** Not to be switched to before `finalizeDeployment`; only staged. */
  lockFinalization?: boolean | undefined;
  progress?: Progress | undefined;
}

/** What is different about the new deployment. */
export interface Redeployment {
  /** Which is deployed again; default: what would boot next. */
  from?: Deployment | undefined;
  kargs?: readonly string[] | undefined;
  /** Changes the copy of the origin that the new deployment gets. */
  origin?: ((origin: KeyFile) => void) | undefined;
  /** Another commit. */
  rev?: Checksum | undefined;
  /** False: /etc as the tree has it, without the local changes. */
  keepEtc?: boolean | undefined;
}

/** What the next change starts from: what would boot next, else what runs. */
export const nextDeployment = (sysroot: Sysroot, os?: string): Deployment => {
  const state = sysroot.load();
  return baseDeployment(state, chooseOs(state, os));
};

/**
 * Deploys a commit again, with something about it changed; what ran stays to go back to. The
 * lock of what was staged stays on what replaces it.
 */
export async function redeploy(
  sysroot: Sysroot,
  change: Redeployment,
  options: RedeployOptions = {},
): Promise<Deployment> {
  using _lock = await sysroot.lock(options);
  const state = sysroot.load();
  const os = chooseOs(state, options.os);
  const next = baseDeployment(state, os);
  const base = change.from ?? next;
  const origin = inheritOrigin(requireOrigin(base), base.origin?.get('origin', 'override-commit'));
  change.origin?.(origin);
  const locked = options.lockFinalization === true || next.finalizationLocked;
  const stage = options.stage ?? (locked || state.booted?.os === os);
  const deployment = await deploy(sysroot, {
    ...options,
    os,
    rev: change.rev ?? base.checksum,
    origin,
    kargs: change.kargs ?? base.kargs,
    ...(change.keepEtc === false ? { mergeFrom: null } : {}),
    stage,
    locked,
  });
  if (stage) await cleanup(sysroot, { ...options, prune: 'old-commits' });
  noteHistory(sysroot, deployment, 'deploy');
  return deployment;
}
