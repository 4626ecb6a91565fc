import type { Checksum } from '@atomic/ostree';
import {
  type AdvisoryJson,
  advisoryLines,
  advisoryOfJson,
  advisorySummary,
  type CommitChanges,
  parseAdvisoryList,
  parseRpmDiff,
  type RpmDiffJson,
} from '@atomic/pkgdb';
import { fieldsOf } from '../health/files.ts';
import type { Sysroot } from '../sysroot.ts';

/** Package changes as part of a JSON object; left out where nothing is known, `advisories` where there are none. */
export interface PackageChangesJson {
  'rpm-diff'?: RpmDiffJson;
  advisories?: AdvisoryJson[];
}

/** How the packages of two commits differ, for status and its like: null where that cannot be told. */
export async function packageChanges(
  sysroot: Sysroot,
  from: { checksum: Checksum; base: Checksum },
  to: { checksum: Checksum; base: Checksum },
  options: { changelogs?: boolean | undefined } = {},
): Promise<CommitChanges | null> {
  const { commitChanges } = await import('@atomic/pkgdb');
  try {
    return commitChanges(sysroot.repo, from.checksum, to.checksum, {
      bases: { from: from.base, to: to.base },
      ...options,
    });
  } catch {
    // A database that cannot be read is no reason to fail an upgrade, or to show nothing at all.
    return null;
  }
}

/** Reads back what was kept of {@link packageChanges}; null for anything else. */
export function parsePackageChanges(value: unknown): CommitChanges | null {
  const fields = fieldsOf(value);
  const diff = parseRpmDiff(fields?.get('rpm-diff'));
  const advisories = parseAdvisoryList(fields?.get('advisories'));
  return diff === null || advisories === null ? null : { 'rpm-diff': diff, advisories };
}

/** Nothing for no change, as rpm-ostree has it. */
export function packageChangesJson(changes: CommitChanges | null): PackageChangesJson {
  if (changes === null || Object.values(changes['rpm-diff']).every(({ length }) => length === 0)) return {};
  const { advisories } = changes;
  return { 'rpm-diff': changes['rpm-diff'], ...(advisories.length === 0 ? {} : { advisories }) };
}

/** What mends something: one line, or one for each package. */
export function securityLines(advisories: readonly AdvisoryJson[], verbose: boolean): string[] {
  const all = advisories.map(advisoryOfJson);
  if (verbose) return advisoryLines(all);
  const summary = advisorySummary(all);
  return summary === '' ? [] : [summary];
}
