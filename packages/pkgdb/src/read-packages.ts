import { AtomicError, type Checksum, type Repo } from '@atomic/ostree';
import { DPKG_FOLDERS, parseDpkgStatus } from './dpkg/status.ts';
import { comparePackages, type InstalledPackage } from './package.ts';
import { parsePackageList } from './package-list.ts';
import { findRpmdb, packageOfHeader, RPMDB_FOLDERS, rpmHeaders } from './rpm/rpmdb.ts';
import { commitView } from './tree/commit-view.ts';
import { folderView } from './tree/folder-view.ts';
import { readFileIn, type TreeView } from './tree/tree-view.ts';

/** The files of a tree that {@link readPackages} reads. */
export const DATABASE_FILES: readonly string[] = [
  ...DPKG_FOLDERS.map((folder) => `${folder}/status`),
  ...RPMDB_FOLDERS.flatMap((folder) => [`${folder}/rpmdb.sqlite`, `${folder}/rpmdb.sqlite-wal`]),
];

/** Bytes; a status file of ten thousand packages is a quarter of this. */
const MAX_STATUS = 64 * 1024 * 1024;

/**
 * The packages installed in a tree, in order of name; null for a tree without a package database. Throws `corrupt` for
 * a database that cannot be, `unsupported` for rpm's older formats, `not-found` for a commit's objects that are not here.
 */
export function readPackages(view: TreeView): InstalledPackage[] | null {
  for (const folder of DPKG_FOLDERS) {
    const status = readFileIn(view, `${folder}/status`, MAX_STATUS);
    if (status !== null) return parseDpkgStatus(status.toString('utf8')).sort(comparePackages);
  }
  const folder = findRpmdb(view);
  if (folder === null) return null;
  const packages: InstalledPackage[] = [];
  for (const header of rpmHeaders(view, folder)) {
    const one = packageOfHeader(header);
    if (one !== null) packages.push(one);
  }
  return packages.sort(comparePackages);
}

/** {@link readPackages} of a folder. */
export const readFolderPackages = (root: string): InstalledPackage[] | null => readPackages(folderView(root));

/**
 * The packages of a commit: from the list in its metadata, which is there before its files are, else from the database in
 * its tree. Null when it has neither. Throws as {@link readPackages}.
 */
export function readCommitPackages(repo: Repo, commit: Checksum): InstalledPackage[] | null {
  return parsePackageList(repo.loadCommit(commit).metadata) ?? readPackages(commitView(repo, commit));
}

/** {@link readCommitPackages}, for those who cannot do without. Throws `not-found` where there is no package database. */
export function requireCommitPackages(repo: Repo, commit: Checksum): InstalledPackage[] {
  const packages = readCommitPackages(repo, commit);
  if (packages === null) throw new AtomicError('not-found', `commit ${commit} has no package database`);
  return packages;
}
