import { KeyFile } from '@atomic/ostree';
import { type Deployment, type SysrootState, sameDeployment } from '../deployment.ts';
import { formatKargs, withoutKarg } from '../kargs.ts';
import { writeOrigin } from '../origin.ts';
import type { Sysroot } from '../sysroot.ts';
import { writeDeployments } from '../write-deployments.ts';
import type { TryEntry, Trying } from './state.ts';

/** What there is to put back of the boot entries. */
export const rememberEntries = (state: SysrootState): Pick<Trying, 'entries' | 'staged'> => ({
  entries: state.deployments
    .filter((deployment) => !deployment.staged)
    .map(({ os, checksum, serial, kargs, origin }) => ({
      os,
      checksum,
      serial,
      kargs,
      origin: origin?.toString() ?? null,
    })),
  staged:
    state.staged === null
      ? null
      : { os: state.staged.os, checksum: state.staged.checksum, serial: state.staged.serial },
});

/**
 * Puts boot entries back as they were: order, arguments, origins; what was deployed or staged since goes, but for what
 * runs now and what was pinned. Returns whether the entries changed.
 */
export async function restoreEntries(
  sysroot: Sysroot,
  remembered: Pick<Trying, 'entries' | 'staged'>,
): Promise<boolean> {
  const state = sysroot.load();
  const written = state.deployments.filter((deployment) => !deployment.staged);
  const list: Deployment[] = [];
  for (const entry of remembered.entries) {
    const deployment = written.find((one) => sameDeployment(one, entry));
    if (deployment === undefined) continue;
    restoreOrigin(sysroot, deployment, entry);
    const changed = formatKargs(deployment.kargs) !== formatKargs(entry.kargs);
    list.push(
      changed ? { ...deployment, kargs: entry.kargs, commandLine: withoutKarg(entry.kargs, 'ostree') } : deployment,
    );
  }
  // Nothing left of what was: better what there is.
  if (list.length === 0) return false;
  list.push(
    ...written.filter((one) => (one.booted || one.pinned) && !list.some((other) => sameDeployment(one, other))),
  );
  const stagedSince = state.staged !== null && !sameDeployment(state.staged, remembered.staged);
  const same = list.length === written.length && list.every((deployment, index) => deployment === written[index]);
  if (same && !stagedSince) return false;
  const staged = stagedSince || state.staged === null ? [] : [state.staged];
  await writeDeployments(sysroot, state, [...staged, ...list], { cleanup: 'full' });
  return true;
}

function restoreOrigin(sysroot: Sysroot, deployment: Deployment, entry: TryEntry): void {
  if (entry.origin === null || entry.origin === deployment.origin?.toString()) return;
  writeOrigin(sysroot.layout.origin(deployment), KeyFile.parse(entry.origin));
}
