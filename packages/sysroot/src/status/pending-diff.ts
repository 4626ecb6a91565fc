import { type Checksum, diffTrees } from '@atomic/ostree';
import type { CommitChanges } from '@atomic/pkgdb';
import type { Deployment } from '../deployment.ts';
import { fieldsOf, readJson, stateFolder, textOf, writeJson } from '../health/files.ts';
import type { Sysroot } from '../sysroot.ts';
import { packageChanges, parsePackageChanges } from './package-changes.ts';

/** How many files of one commit another changes, removes and adds. */
export interface FileDiff {
  modified: number;
  removed: number;
  added: number;
}

/** What is kept for status of how a new deployment differs from the one before it. */
export interface PendingDiff {
  files: FileDiff;
  /** Null where their packages are not known. */
  packages: CommitChanges | null;
}

interface Kept extends PendingDiff {
  from: string;
  to: string;
}

const fileOf = (sysroot: Sysroot, os: string) => `${stateFolder(sysroot, os)}/pending-diff.json`;

function parse(value: unknown): Kept | null {
  const fields = fieldsOf(value);
  const [from, to] = [textOf(fields?.get('from')), textOf(fields?.get('to'))];
  const [modified, removed, added] = ['modified', 'removed', 'added'].map((name) => fields?.get(name));
  if (from === null || to === null) return null;
  if (typeof modified !== 'number' || typeof removed !== 'number' || typeof added !== 'number') return null;
  return { from, to, files: { modified, removed, added }, packages: parsePackageChanges(fields?.get('packages')) };
}

/** Counts the files that differ between two commits. */
export async function countDiff(
  sysroot: Sysroot,
  from: Checksum,
  to: Checksum,
  signal?: AbortSignal,
): Promise<FileDiff> {
  const diff = await diffTrees(sysroot.repo, { rev: from }, { rev: to }, { signal });
  return { modified: diff.modified.length, removed: diff.removed.length, added: diff.added.length };
}

/**
 * Counts, and keeps for status, which has no time to count, how a new deployment differs from the one before it.
 * Best effort: nobody's upgrade fails for this.
 */
export async function notePendingDiff(
  sysroot: Sysroot,
  before: Deployment,
  after: Deployment,
  signal?: AbortSignal,
): Promise<PendingDiff | null> {
  try {
    const files = await countDiff(sysroot, before.checksum, after.checksum, signal);
    const packages = await packageChanges(sysroot, before, after);
    writeJson(fileOf(sysroot, after.os), { from: before.checksum, to: after.checksum, ...files, packages });
    return { files, packages };
  } catch {
    return null;
  }
}

/** What {@link notePendingDiff} kept of these two, or null. */
export function pendingDiff(sysroot: Sysroot, before: Deployment, after: Deployment): PendingDiff | null {
  const kept = readJson(fileOf(sysroot, after.os), parse);
  if (kept.kind !== 'there' || kept.value.from !== before.checksum || kept.value.to !== after.checksum) return null;
  const { files, packages } = kept.value;
  return { files, packages };
}
