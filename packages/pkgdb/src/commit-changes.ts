import { AtomicError, type Checksum, type Repo } from '@atomic/ostree';
import {
  type AdvisoryJson,
  advisoryJson,
  changelogAdvisories,
  newAdvisories,
  withReferences,
} from './advisory/advisory.ts';
import { readChanges } from './changelog/changes.ts';
import { type RpmDiffJson, rpmDiffJson } from './diff/diff-json.ts';
import { diffPackages } from './diff/diff-packages.ts';
import type { InstalledPackage } from './package.ts';
import { readCommitPackages } from './read-packages.ts';
import { commitView } from './tree/commit-view.ts';

/** How one commit's packages differ from another's, with the names that `rpm-ostree status --json` has for it. */
export interface CommitChanges {
  'rpm-diff': RpmDiffJson;
  /** What of it mends something, as far as anybody says. */
  advisories: AdvisoryJson[];
}

/** What is there of it: of a commit that was not fetched whole, its database may be missing. */
function packagesHere(repo: Repo, commit: Checksum): InstalledPackage[] | null {
  try {
    return readCommitPackages(repo, commit);
  } catch (error) {
    if (error instanceof AtomicError && error.code === 'not-found') return null;
    throw error;
  }
}

export interface CommitChangesOptions {
  /** The commits below what is layered, which the distribution's advisories come with. */
  bases?: { from: Checksum; to: Checksum } | undefined;
  /** Look into changelogs for what no commit says of security (default true); it takes longer than all else. */
  changelogs?: boolean | undefined;
}

/** How the packages of two commits differ; null where one of them has no package database, or not here yet. */
export function commitChanges(
  repo: Repo,
  from: Checksum,
  to: Checksum,
  options: CommitChangesOptions = {},
): CommitChanges | null {
  const [before, after] = [packagesHere(repo, from), packagesHere(repo, to)];
  if (before === null || after === null) return null;
  const diff = diffPackages(before, after);
  const { bases = { from, to }, changelogs = true } = options;
  const listed = [...newAdvisories(repo, bases.from, bases.to)];
  if (bases.to !== to)
    listed.push(...newAdvisories(repo, from, to).filter(({ id }) => !listed.some((one) => one.id === id)));
  const whole = changelogs && repo.commitState(to) === 'complete';
  const changes = whole ? readChanges(commitView(repo, from), commitView(repo, to), diff.upgraded) : [];
  const advisories = listed.length > 0 ? withReferences(listed, changes) : changelogAdvisories(changes);
  return { 'rpm-diff': rpmDiffJson(diff), advisories: advisories.map(advisoryJson) };
}
