import type { Metadata } from '@atomic/ostree';
import { advisoriesMetadata, packageListMetadata, readFolderPackages } from '@atomic/pkgdb';
import type { ManagerOptions, PackageManager } from './manager.ts';

/**
 * What a commit says of the packages of its tree: which they are, and what they mend. Those who have the commit, without
 * its files yet, see from it how an upgrade differs from what they run. Empty for a tree without a package database.
 */
export async function packageMetadata(
  root: string,
  manager: PackageManager,
  options: ManagerOptions & { advisories?: boolean | undefined },
): Promise<Metadata> {
  const packages = readFolderPackages(root) ?? [];
  const advisories = options.advisories === false ? [] : ((await manager.advisories?.(packages, options)) ?? []);
  return new Map([...packageListMetadata(packages), ...advisoriesMetadata(advisories)]);
}
