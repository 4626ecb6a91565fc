import { rmSync } from 'node:fs';
import { errnoCode } from '@atomic/linux';
import { isChecksum } from '@atomic/ostree';
import type { CommitChanges } from '@atomic/pkgdb';
import type { SysrootState } from '../deployment.ts';
import { fieldsOf, readJson, stateFolder, textOf, writeJson } from '../health/files.ts';
import { parsePackageChanges } from '../status/package-changes.ts';
import type { Sysroot } from '../sysroot.ts';

/** What the last look at the branch found: the branch has moved on (rpm-ostree's cached update). */
export interface AvailableUpdate {
  checksum: string;
  version: string | undefined;
  /** Of the commit, Unix seconds. */
  timestamp: number;
  /** The branch it is on. */
  origin: string;
  /** The deployed commit it was compared with. */
  from: string;
  /** When the branch was looked at, Unix seconds. */
  checked: number;
  /** How its packages differ, where that is known before it is fetched. */
  packages: CommitChanges | null;
}

const fileOf = (sysroot: Sysroot, os: string) => `${stateFolder(sysroot, os)}/available-update.json`;

function parse(value: unknown): AvailableUpdate | null {
  const fields = fieldsOf(value);
  const [checksum, from, origin] = ['checksum', 'from', 'origin'].map((name) => textOf(fields?.get(name)));
  const timestamp = fields?.get('timestamp');
  const checked = fields?.get('checked');
  if (!checksum || !from || !origin || !isChecksum(checksum) || !isChecksum(from)) return null;
  if (typeof timestamp !== 'number' || typeof checked !== 'number') return null;
  return {
    checksum,
    from,
    origin,
    timestamp,
    checked,
    version: textOf(fields?.get('version')) ?? undefined,
    packages: parsePackageChanges(fields?.get('packages')),
  };
}

/** The update that the last check found; null when there was none, or it is deployed, or something else is by now. */
export function availableUpdate(
  sysroot: Sysroot,
  os: string,
  state: SysrootState = sysroot.load(),
): AvailableUpdate | null {
  const stored = readJson(fileOf(sysroot, os), parse);
  if (stored.kind !== 'there') return null;
  const mine = state.deployments.filter((deployment) => deployment.os === os);
  const current = mine.find(({ booted }) => booted) ?? mine[0];
  if (current?.base !== stored.value.from) return null;
  return mine.some(({ base, index }) => base === stored.value.checksum && index <= current.index) ? null : stored.value;
}

/** Keeps what a check found, or (null) that there is nothing. Where it cannot be kept it is found again another time. */
export function noteAvailableUpdate(sysroot: Sysroot, os: string, update: AvailableUpdate | null): void {
  const path = fileOf(sysroot, os);
  try {
    if (update !== null) writeJson(path, update);
    else rmSync(path, { force: true });
  } catch (error) {
    if (errnoCode(error) === undefined) throw error;
  }
}
