import { createHash } from 'node:crypto';
import type { Checksum } from '@atomic/ostree';
import {
  type AssembleOptions,
  type LayerRequests,
  layerState,
  type PackageChange,
  type PackageVersion,
  type Sysroot,
} from '@atomic/sysroot';
import type { LayerPlan } from './manager.ts';

/** Bumped when the same packages on the same base give another tree. */
const FORMAT = 1;

/** A digest of all that goes into a layer. */
export function stateOf(base: Checksum, requests: LayerRequests, plan: LayerPlan, options: AssembleOptions): string {
  const files = [...requests.local, ...requests.localFileOverride, ...requests.replace].map(({ sha256 }) => sha256);
  const changes = plan.changes.map(({ name, arch, from, to }) => [name, arch, from, to]);
  const settings = [options.network === true, requests.localFileOverride.length > 0];
  return createHash('sha512')
    .update(JSON.stringify([FORMAT, base, [...requests.install].sort(), changes, files.sort(), settings]))
    .digest('hex');
}

/** Whether a layered commit is what would be made again. */
export function isSame(sysroot: Sysroot, previous: Checksum, base: Checksum, state: string): boolean {
  if (!sysroot.repo.hasObject('commit', previous)) return false;
  const { metadata, parent } = sysroot.repo.loadCommit(previous);
  return parent === base && layerState(metadata) === state;
}

interface Replacement {
  before: PackageVersion;
  after: PackageVersion;
}

/** Packages that went, and those that have another version; one that has another architecture since is one of them. */
function sortChanges(changes: readonly PackageChange[]): { removed: PackageVersion[]; replaced: Replacement[] } {
  const removed: PackageVersion[] = [];
  const replaced: Replacement[] = [];
  const byName = Map.groupBy(changes, ({ name }) => name);
  for (const [name, all] of byName) {
    const gone: PackageVersion[] = [];
    const came: PackageVersion[] = [];
    for (const { arch, from, to } of all) {
      const [before, after] = [from, to].map((version) => (version === null ? null : { name, arch, version }));
      if (before && after) replaced.push({ before, after });
      else if (before) gone.push(before);
      else if (after) came.push(after);
    }
    const [before, after] = [gone[0], came[0]];
    if (before !== undefined && after !== undefined && gone.length === 1 && came.length === 1)
      replaced.push({ before, after });
    else removed.push(...gone);
  }
  return { removed, replaced };
}

/** What of the base is taken out or replaced, for the commit's metadata. */
export function overridesOf(requests: LayerRequests, { changes }: LayerPlan) {
  const { removed, replaced } = sortChanges(changes);
  const remote = new Map(
    requests.replaceFrom.map(({ source, packages }) => [
      source,
      replaced.filter(({ after }) => packages.includes(after.name)),
    ]),
  );
  const fromRemote = new Set(requests.replaceFrom.flatMap(({ packages }) => packages));
  return { removed, replaced: replaced.filter(({ after }) => !fromRemote.has(after.name)), replacedFrom: remote };
}
