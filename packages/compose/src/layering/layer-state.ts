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

const version = ({ name, arch }: PackageChange, which: string | null): PackageVersion => ({
  name,
  arch,
  version: which ?? '',
});

/** What of the base is taken out or replaced, for the commit's metadata. */
export function overridesOf(requests: LayerRequests, { changes }: LayerPlan) {
  const pairOf = (change: PackageChange) => ({
    before: version(change, change.from),
    after: version(change, change.to),
  });
  const replaced = changes.filter(({ from, to }) => from !== null && to !== null);
  const remote = new Map(
    requests.replaceFrom.map(({ source, packages }) => [
      source,
      replaced.filter(({ name }) => packages.includes(name)).map(pairOf),
    ]),
  );
  const fromRemote = new Set(requests.replaceFrom.flatMap(({ packages }) => packages));
  return {
    removed: changes.filter(({ to }) => to === null).map((change) => version(change, change.from)),
    replaced: replaced.filter(({ name }) => !fromRemote.has(name)).map(pairOf),
    replacedFrom: remote,
  };
}
