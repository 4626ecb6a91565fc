export { compareDebVersions, type DebVersion, splitDebVersion } from './version/deb-version.ts';
export { compareRpmVersions, type RpmVersion, rpmvercmp, splitRpmVersion } from './version/rpm-version.ts';
