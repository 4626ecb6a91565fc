export {
  type Advisory,
  type AdvisoryJson,
  advisoriesMetadata,
  advisoryJson,
  advisoryOfJson,
  changelogAdvisories,
  newAdvisories,
  parseAdvisories,
  withReferences,
} from './advisory/advisory.ts';
export { advisoryLines, advisorySummary, securityOf } from './advisory/advisory-text.ts';
export { aptAdvisories, isSecurityRelease } from './advisory/apt-advisories.ts';
export { changelogsMissing, type PackageChanges, readChanges } from './changelog/changes.ts';
export { changesLines } from './changelog/changes-text.ts';
export type { ChangelogEntry } from './changelog/entry.ts';
export { type CommitChanges, commitChanges } from './commit-changes.ts';
export { databaseVersion } from './database-version.ts';
export { type PkgDiffJson, pkgDiffJson, type RpmDiffJson, rpmDiffJson } from './diff/diff-json.ts';
export { diffPackages, isEmptyDiff, type ModifiedPackage, type PackageDiff } from './diff/diff-packages.ts';
export { blockLines, diffParts, diffSummary, scriptLines } from './diff/diff-text.ts';
export { parseAdvisoryList, parseRpmDiff } from './diff/parse-diff-json.ts';
export { parseDpkgStatus } from './dpkg/status.ts';
export { matchesPattern } from './match-pattern.ts';
export { compareEvr, comparePackages, evrOf, type InstalledPackage, nevraOf, type PackageFormat } from './package.ts';
export { packageFiles } from './package-files.ts';
export { packageListMetadata, parsePackageList } from './package-list.ts';
export {
  DATABASE_FILES,
  readCommitPackages,
  readFolderPackages,
  readPackages,
  requireCommitPackages,
} from './read-packages.ts';
export { readRpmFile } from './rpm/rpm-file.ts';
export { commitView } from './tree/commit-view.ts';
export { folderView } from './tree/folder-view.ts';
export { follow, type TreeItem, type TreeView } from './tree/tree-view.ts';
export { compareDebVersions, splitDebVersion } from './version/deb-version.ts';
export { compareRpmVersions, rpmvercmp, splitRpmVersion } from './version/rpm-version.ts';
