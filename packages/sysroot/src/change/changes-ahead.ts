import type { Checksum } from '@atomic/ostree';
import type { CommitChanges } from '@atomic/pkgdb';
import { packageChanges } from '../status/package-changes.ts';
import type { Sysroot } from '../sysroot.ts';
import { type ChangeOptions, fetch, type Traffic } from './change.ts';

/**
 * How the packages of a commit differ from those of the present one, before its files are fetched: from the lists in the
 * commits' metadata; with `preview` its package database is fetched where it has no list. Null where it is not known.
 */
export async function changesAhead(
  sysroot: Sysroot,
  refspec: string,
  [current, target]: readonly [Checksum, Checksum],
  options: ChangeOptions & { preview?: boolean | undefined; from?: string | undefined },
  traffic: Traffic,
): Promise<CommitChanges | null> {
  const look = () => packageChanges(sysroot, { checksum: current, base: current }, { checksum: target, base: target });
  const known = await look();
  if (known !== null || options.preview !== true || options.cacheOnly || options.from !== undefined) return known;
  const { DATABASE_FILES } = await import('@atomic/pkgdb');
  const subpaths = DATABASE_FILES.map((path) => `/${path}`);
  // By its checksum, so that the branch stays where it is.
  await fetch(sysroot, refspec, { ...options, wanted: target, subpaths }, traffic);
  return await look();
}
