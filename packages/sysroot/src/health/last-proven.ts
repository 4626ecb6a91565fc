import type { Deployment, SysrootState } from '../deployment.ts';
import type { Sysroot } from '../sysroot.ts';
import { loadBadCommits } from './bad-commits.ts';
import { HealthRecords, isProven } from './records.ts';

/**
 * The deployment that must not be given up yet: what the machine goes back to while what runs has not proved itself.
 * Null once that has, or where nothing was ever judged.
 */
export function lastProven(sysroot: Sysroot, state: SysrootState): Deployment | null {
  const { booted } = state;
  if (booted === null) return null;
  const proven = new HealthRecords(sysroot, booted.os).proven();
  if (isProven(proven, booted)) return null;
  const bad = loadBadCommits(sysroot, booted.os);
  const good = (one: Deployment) => one.os === booted.os && !one.staged && isProven(proven, one);
  return state.deployments.find((one) => good(one) && !bad.has(one.checksum)) ?? null;
}
