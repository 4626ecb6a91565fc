import { evrOf, type InstalledPackage } from '../package.ts';
import type { ModifiedPackage, PackageDiff } from './diff-packages.ts';

/** rpm-ostree's numbers for what happened to a package. */
const KIND = { added: 0, removed: 1, upgraded: 2, downgraded: 3 } as const;

/** name, version, architecture */
type PackageTuple = [name: string, evr: string, arch: string];
const tuple = (one: InstalledPackage): PackageTuple => [one.name, evrOf(one), one.arch];

/** The `pkgdiff` of `rpm-ostree db diff --format=json`. */
export type PkgDiffJson = [
  name: string,
  kind: number,
  packages: { PreviousPackage?: PackageTuple; NewPackage?: PackageTuple },
][];

/** A diff as `rpm-ostree db diff --format=json` has it: by kind, then by name. */
export function pkgDiffJson(diff: PackageDiff): PkgDiffJson {
  const modified = (kind: number, list: readonly ModifiedPackage[]): PkgDiffJson =>
    list.map(({ before, after }) => [before.name, kind, { PreviousPackage: tuple(before), NewPackage: tuple(after) }]);
  return [
    ...diff.added.map((one): PkgDiffJson[number] => [one.name, KIND.added, { NewPackage: tuple(one) }]),
    ...diff.removed.map((one): PkgDiffJson[number] => [one.name, KIND.removed, { PreviousPackage: tuple(one) }]),
    ...modified(KIND.upgraded, diff.upgraded),
    ...modified(KIND.downgraded, diff.downgraded),
  ];
}

type Version = [evr: string, arch: string];
/** rpm-ostree tells packages of the base (0) from layered ones (1) where it guesses; in a diff of commits all are 0. */
const BASE = 0;

/** The `rpm-diff` of a cached update in `rpm-ostree status --json`. */
export interface RpmDiffJson {
  upgraded: [type: number, name: string, before: Version, after: Version][];
  downgraded: [type: number, name: string, before: Version, after: Version][];
  removed: [type: number, name: string, evr: string, arch: string][];
  added: [type: number, name: string, evr: string, arch: string][];
}

/** A diff as rpm-ostree's status has it. */
export function rpmDiffJson(diff: PackageDiff): RpmDiffJson {
  const version = (one: InstalledPackage): Version => [evrOf(one), one.arch];
  const modified = ({ before, after }: ModifiedPackage): RpmDiffJson['upgraded'][number] => [
    BASE,
    before.name,
    version(before),
    version(after),
  ];
  const single = (one: InstalledPackage): RpmDiffJson['added'][number] => [BASE, one.name, ...version(one)];
  return {
    upgraded: diff.upgraded.map(modified),
    downgraded: diff.downgraded.map(modified),
    removed: diff.removed.map(single),
    added: diff.added.map(single),
  };
}
