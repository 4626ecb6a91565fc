import { compareDebVersions, splitDebVersion } from './version/deb-version.ts';
import { compareRpmVersions } from './version/rpm-version.ts';

/** Whose rules a package's version follows. */
export type PackageFormat = 'deb' | 'rpm';

/** A package that is installed in a tree. */
export interface InstalledPackage {
  format: PackageFormat;
  name: string;
  /** '0' for none. */
  epoch: string;
  version: string;
  /** RPM's release, Debian's revision; '' for none. */
  release: string;
  arch: string;
  /** Which source it was built from: packages of one source share their changelog. */
  source: string;
}

/** The version as people know it: `[epoch:]version[-release]`. */
export function evrOf({ epoch, version, release }: InstalledPackage): string {
  return `${epoch === '0' ? '' : `${epoch}:`}${version}${release === '' ? '' : `-${release}`}`;
}

/** `name-[epoch:]version-release.arch`. */
export const nevraOf = (one: InstalledPackage): string => `${one.name}-${evrOf(one)}.${one.arch}`;

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Orders the versions of two packages of one format: negative when `a` is older. */
export function compareEvr(a: InstalledPackage, b: InstalledPackage): number {
  return (a.format === 'deb' ? compareDebVersions : compareRpmVersions)(evrOf(a), evrOf(b));
}

/** By name, version, architecture: the order every listing has. */
export const comparePackages = (a: InstalledPackage, b: InstalledPackage): number =>
  order(a.name, b.name) || compareEvr(a, b) || order(a.arch, b.arch);

/** A Debian package, from the fields of its stanza. */
export function debPackage(name: string, version: string, arch: string, source = name): InstalledPackage {
  const { epoch, upstream, revision } = splitDebVersion(version);
  return {
    format: 'deb',
    name,
    epoch: epoch.replace(/^0+(?=.)/, ''),
    version: upstream,
    release: revision,
    arch,
    source,
  };
}
