import { existsSync, readlinkSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { AtomicError, type Checksum, parseRefspec } from '@atomic/ostree';
import { isPinnedToCommit } from '../change/change.ts';
import type { Deployment, SysrootState } from '../deployment.ts';
import { parseImageOrigin } from '../image/image-origin.ts';
import { originFollows } from '../origin.ts';
import type { Sysroot } from '../sysroot.ts';
import { type Bus, loggedIn, meteredConnection, shutdownInhibitors, systemBus } from './logind.ts';
import type { PendingDeployment, UpdateFacts } from './plan.ts';
import { readText } from './read-text.ts';

/** What is asked of the machine besides its disk; tests give their own. */
export interface Surroundings {
  bus?: Bus | null | undefined;
  online?: boolean | undefined;
  bootId?: string | undefined;
}

/** The deployment that runs, and on a disk that does not run the one that would. */
export function runningDeployment(state: SysrootState, os: string): Deployment | null {
  return state.booted?.os === os ? state.booted : (state.deployments.find((one) => one.os === os) ?? null);
}

/** The root whose settings count: the running system's, else that of what would run. */
export function settingsRoot(sysroot: Sysroot, state: SysrootState, os: string): string {
  const base = runningDeployment(state, os);
  return base === null || base.booted ? sysroot.root : sysroot.layout.deployment(base);
}

export const UPDATE_TIMER = 'atomic-update.timer';

/** Why nothing of this happens by itself: the timer that would start it is not there, or masked; null when it is. */
export function timerProblem(root: string): string | null {
  if (!existsSync(join(root, 'usr/lib/systemd/system', UPDATE_TIMER))) return `this tree has no ${UPDATE_TIMER}`;
  const own = readLink(join(root, 'etc/systemd/system', UPDATE_TIMER));
  return own === '/dev/null' ? `${UPDATE_TIMER} is masked` : null;
}

function readLink(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}

/** What boots next instead of what runs. */
export function pendingDeployment(state: SysrootState, os: string): PendingDeployment | null {
  const { booted } = state;
  const pending = state.deployments.find((one) => one.os === os && one.pending);
  if (booted === null || booted.os !== os || pending === undefined) return null;
  // The branch's commits count, whatever is layered on them.
  const { base: checksum, version } = pending;
  const follows = originFollows(booted.origin);
  const same = originFollows(pending.origin) === follows && follows !== undefined;
  const newer = checksum !== booted.base && pending.timestamp >= booted.timestamp;
  // The same commit with other kernel arguments, say, is no reason to keep an update away: it gets them too.
  if (checksum === booted.base && same) return null;
  return { checksum, version, kind: same && newer ? 'update' : 'other', locked: pending.finalizationLocked };
}

/** Newer deployments that are there, but neither run nor boot next: somebody went back from them. */
export function leftDeployments(state: SysrootState, os: string): Checksum[] {
  const { booted } = state;
  if (booted === null || booted.os !== os) return [];
  return state.deployments
    .filter((one) => one.os === os && one.index > booted.index && one.timestamp > booted.timestamp)
    .map(({ base }) => base)
    .filter((base) => base !== booted.base);
}

/** Gathers what {@link plan} has to know. */
export async function gatherFacts(
  sysroot: Sysroot,
  state: SysrootState,
  os: string,
  bad: ReadonlyMap<Checksum, string>,
  onTrial: boolean,
  around: Surroundings = {},
): Promise<UpdateFacts> {
  const base = runningDeployment(state, os);
  const follows = base === null || isPinnedToCommit(base) ? null : (originFollows(base.origin) ?? null);
  const bootId = around.bootId ?? (readText('/proc/sys/kernel/random/boot_id') ?? '').trim();
  const id = (readText(join(settingsRoot(sysroot, state, os), 'etc/machine-id')) ?? '').trim();
  const bus = around.bus === undefined ? systemBus(sysroot.run) : around.bus;
  return {
    base: base?.base ?? null,
    follows,
    pending: pendingDeployment(state, os),
    onTrial,
    bad,
    ...(await presence(bus)),
    online: around.online ?? online(sysroot, follows),
    metered: bus === null ? false : await meteredConnection(bus),
    shutdownPlanned: existsSync(`${sysroot.run}/systemd/shutdown/scheduled`),
    boot: bootId,
    // A machine without an identity has one for as long as it runs.
    machineId: id === '' || id === 'uninitialized' ? bootId : id,
  };
}

async function presence(bus: Bus | null): Promise<Pick<UpdateFacts, 'people' | 'inhibitors' | 'unknown'>> {
  if (bus === null) return { people: [], inhibitors: [], unknown: null };
  try {
    return { people: await loggedIn(bus), inhibitors: await shutdownInhibitors(bus), unknown: null };
  } catch (error) {
    const unknown = error instanceof AtomicError && error.code === 'not-found' ? null : 'logind does not answer';
    return { people: [], inhibitors: [], unknown };
  }
}

/** Whether there is a way to a server: an address of this machine that others can answer to, where one is needed. */
function online(sysroot: Sysroot, follows: string | null): boolean {
  const image = follows === null ? null : parseImageOrigin(follows);
  const remote = follows === null || image !== null ? null : parseRefspec(follows).remote;
  const registry = image?.image.startsWith('docker://') === true ? image.image : undefined;
  const url = remote === null ? registry : sysroot.repo.remoteOption(remote, 'url');
  if (url === undefined || /^(file:|https?:\/\/(localhost|127\.|\[::1\]))/.test(url)) return true;
  return Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(({ internal, address }) => !internal && !/^(fe80:|169\.254\.)/i.test(address)),
  );
}
