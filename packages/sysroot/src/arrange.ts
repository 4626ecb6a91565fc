import { AtomicError, type BeginOptions } from '@atomic/ostree';
import { cleanup } from './cleanup.ts';
import { type Deployment, type SysrootState, sameDeployment } from './deployment.ts';
import { writeOrigin } from './origin.ts';
import type { Sysroot } from './sysroot.ts';
import { type LogOptions, writeDeployments } from './write-deployments.ts';

/** The deployment at a place in the boot order; throws `not-found`. */
export function deploymentAt(state: SysrootState, index: number): Deployment {
  const found = state.deployments[index];
  if (found !== undefined) return found;
  throw index < 0
    ? new AtomicError('not-found', `Invalid index ${index}`)
    : new AtomicError('not-found', `Out of range deployment index ${index}, expected < ${state.deployments.length}`, {
        hint: 'list them with: ostree admin status',
      });
}

/** A place in the boot order as stock reads it; throws `invalid` in its words. */
export function parseIndex(text: string): number {
  if (/^\d{0,15}$/.test(text)) return Number(text);
  throw new AtomicError('invalid', `${/^\d+$/.test(text) ? 'Index too large' : 'Invalid index'}: ${text}`);
}

/**
 * The deployment that a word stands for: a place in the boot order, or `booted`, `pending`, `rollback` on a running
 * system. Throws `not-found`, or `invalid` for another word.
 */
export function namedDeployment(state: SysrootState, text: string): Deployment {
  if (text === 'booted' || text === 'pending' || text === 'rollback') {
    const found = state.deployments.find((deployment) => deployment[text]);
    if (found === undefined) throw new AtomicError('not-found', `Deployment type not found: ${text}`);
    return found;
  }
  return deploymentAt(state, parseIndex(text));
}

/** Removes the deployment at a place in the boot order (`ostree admin undeploy`); throws `not-found`, or `invalid` for the booted one. */
export async function undeploy(
  sysroot: Sysroot,
  index: number,
  options: BeginOptions & LogOptions = {},
): Promise<Deployment> {
  return await rearrange(sysroot, index, options, (target, others) => {
    if (target.booted) throw new AtomicError('invalid', `Cannot undeploy currently booted deployment ${index}`);
    return others;
  });
}

/** Makes the deployment at a place in the boot order the first (`ostree admin set-default`); throws `not-found`. */
export async function setDefault(
  sysroot: Sysroot,
  index: number,
  options: BeginOptions & LogOptions = {},
): Promise<Deployment> {
  return await rearrange(sysroot, index, options, (target, others) => [target, ...others]);
}

/** Writes the boot order that `order` makes of the deployment at a place and all the others; returns that deployment. */
async function rearrange(
  sysroot: Sysroot,
  index: number,
  options: BeginOptions & LogOptions,
  order: (target: Deployment, others: Deployment[]) => Deployment[],
): Promise<Deployment> {
  using _lock = await sysroot.lock(options);
  const state = sysroot.load();
  const target = deploymentAt(state, index);
  const list = order(
    target,
    state.deployments.filter((deployment) => deployment !== target),
  );
  await writeDeployments(sysroot, state, list, { ...options, cleanup: 'none' });
  await cleanup(sysroot, options);
  return target;
}

/** Pins a deployment, so that no other operation removes it, or unpins it. Returns whether that changed anything. */
export async function setPinned(
  sysroot: Sysroot,
  deployment: Deployment,
  pinned: boolean,
  options: BeginOptions = {},
): Promise<boolean> {
  using _lock = await sysroot.lock(options);
  if (deployment.pinned === pinned) return false;
  if (deployment.staged) throw new AtomicError('invalid', 'Cannot pin staged deployment');
  const origin = deployment.origin?.clone();
  if (origin === undefined) throw new AtomicError('invalid', 'the deployment has no origin to note it in');
  if (pinned) origin.set('libostree-transient', 'pinned', 'true');
  else origin.removeKey('libostree-transient', 'pinned');
  writeOrigin(sysroot.layout.origin(deployment), origin);
  sysroot.touch();
  return true;
}

/** Replaces a deployment's kernel arguments and the boot entries with them (`ostree admin instutil set-kargs`). */
export async function setKargs(
  sysroot: Sysroot,
  deployment: Deployment,
  kargs: readonly string[],
  options: BeginOptions & LogOptions = {},
): Promise<void> {
  using _lock = await sysroot.lock(options);
  const state = sysroot.load();
  if (deployment.staged) throw new AtomicError('invalid', 'a staged deployment gets its kernel arguments by deploying');
  const list = state.deployments.map((one) =>
    sameDeployment(one, deployment)
      ? { ...one, commandLine: [...kargs], kargs: kargs.filter((karg) => !karg.startsWith('ostree=')) }
      : one,
  );
  await writeDeployments(sysroot, state, list, { ...options, cleanup: 'full' });
}
