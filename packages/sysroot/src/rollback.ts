import { AtomicError, type BeginOptions } from '@atomic/ostree';
import { chooseOs } from './change/change.ts';
import { type Deployment, sameDeployment } from './deployment.ts';
import { noteHistory } from './history.ts';
import type { Sysroot } from './sysroot.ts';
import { writeDeployments } from './write-deployments.ts';

/**
 * Makes the previous deployment the first to boot (`rpm-ostree rollback`): the rollback deployment; when there is none
 * but something pending, the booted one again, which takes an earlier rollback back. On a disk that is not running, the
 * second one. Nothing is removed. Throws `not-found` when there is nothing to go back to.
 */
export async function rollback(
  sysroot: Sysroot,
  options: BeginOptions & { os?: string | undefined } = {},
): Promise<Deployment> {
  using _lock = await sysroot.lock(options);
  const state = sysroot.load();
  if (state.staged !== null) {
    throw new AtomicError('invalid', 'Staged deployment already pending; rolling back would lose it', {
      hint: 'remove it with: atomic host cleanup --pending',
    });
  }
  const pending = state.deployments.find((deployment) => deployment.pending) ?? null;
  const target =
    state.booted === null || (options.os !== undefined && options.os !== state.booted.os)
      ? state.deployments.filter(({ os }) => os === chooseOs(state, options.os))[1]
      : (state.deployments.find((deployment) => deployment.rollback) ?? (pending === null ? undefined : state.booted));
  if (target === undefined) {
    throw new AtomicError('not-found', 'No rollback deployment found', {
      hint: 'there is only one deployment; see: atomic host status',
    });
  }
  const list = [target, ...state.deployments.filter((deployment) => !sameDeployment(deployment, target))];
  const after = await writeDeployments(sysroot, state, list, { ...options, cleanup: 'prepare' });
  const [first] = after.deployments;
  if (first === undefined) throw new AtomicError('failed', 'the deployment rolled back to is not there');
  noteHistory(sysroot, first, 'rollback');
  return first;
}

/** Removes deployments that are not booted: `pending` ones (staged included), the `rollback`. Pinned ones stay. */
export async function dropDeployments(
  sysroot: Sysroot,
  which: { pending?: boolean | undefined; rollback?: boolean | undefined },
  options: BeginOptions & { os?: string | undefined } = {},
): Promise<Deployment[]> {
  using _lock = await sysroot.lock(options);
  const state = sysroot.load();
  if (state.booted === null) {
    throw new AtomicError('invalid', 'Not booted into a deployment: nothing is pending or rollback', {
      hint: 'leave out --pending and --rollback',
    });
  }
  const at = state.deployments.indexOf(state.booted);
  const dropped = state.deployments.filter(
    (deployment, index) =>
      deployment.os === (options.os ?? state.booted?.os) &&
      !deployment.booted &&
      !deployment.pinned &&
      ((which.pending === true && index < at) || (which.rollback === true && index > at)),
  );
  if (dropped.length === 0) return dropped;
  const list = state.deployments.filter((deployment) => !dropped.includes(deployment));
  await writeDeployments(sysroot, state, list, { ...options, cleanup: 'full' });
  return dropped;
}
