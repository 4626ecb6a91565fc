import { createHash } from 'node:crypto';
import type { InstalledPackage } from './package.ts';

/**
 * `N:SHA256` of the packages, in their order: the same number, and the same packages, give the same (the `rpmdbv` of
 * rpm-ostree and dnf, which put the epoch first).
 */
export function databaseVersion(packages: readonly InstalledPackage[]): string {
  const hash = createHash('sha256');
  for (const { epoch, name, version, release, arch } of packages) {
    hash.update(`${epoch === '0' ? '' : `${epoch}:`}${name}-${version}${release === '' ? '' : `-${release}`}.${arch}`);
  }
  return `${packages.length}:${hash.digest('hex')}`;
}
