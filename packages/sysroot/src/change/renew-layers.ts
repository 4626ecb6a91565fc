import type { Deployment, SysrootState } from '../deployment.ts';
import { hasRequests, readRequests } from '../layers/requests.ts';
import { clearStuck } from '../layers/stuck.ts';
import type { Sysroot } from '../sysroot.ts';
import { type ChangeOptions, compare, switchTo, type Traffic, type UpgradeResult } from './change.ts';

/** The base is the newest already; packages layered on it may not be, or are to be others. */
export async function renewLayers(
  sysroot: Sysroot,
  state: SysrootState,
  current: Deployment,
  options: ChangeOptions,
  traffic: Traffic,
): Promise<UpgradeResult> {
  const result = compare(sysroot, current, current.base, traffic);
  if (!hasRequests(readRequests(current.origin)) && options.edits === undefined) return result;
  // What did not go onto a newer one was taken back.
  clearStuck(sysroot, current.os);
  const switched = await switchTo(sysroot, state, current, current.base, {
    ...options,
    // It stays for as long as this commit does.
    override: current.origin?.get('origin', 'override-commit'),
    unlessSame: options.edits === undefined,
  });
  return { ...result, ...switched, changed: switched.deployment !== null || switched.layer?.changed === true };
}
