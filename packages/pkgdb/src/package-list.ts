import type { Metadata, Value } from '@atomic/ostree';
import { comparePackages, type InstalledPackage } from './package.ts';
import { printable } from './printable.ts';

/** rpm-ostree's list of packages in a commit's metadata: name, epoch, version, release, architecture of each. */
const LIST = 'rpmostree.rpmdb.pkglist';
const LIST_TYPE = 'a(sssss)';
/** Ours: by whose rules their versions are ordered; rpm's where it does not say. */
const FORMAT = 'atomic.package-format';

/** The packages that a commit's metadata lists, or null where it lists none. */
export function parsePackageList(metadata: Metadata): InstalledPackage[] | null {
  const list = metadata.get(LIST);
  if (list?.type !== LIST_TYPE || !Array.isArray(list.value)) return null;
  const format = metadata.get(FORMAT)?.value === 'deb' ? 'deb' : 'rpm';
  const packages = list.value.flatMap((item: Value): InstalledPackage[] => {
    if (!Array.isArray(item)) return [];
    const [name, epoch, version, release, arch] = item.map((field) => printable(String(field)));
    if (name === undefined || epoch === undefined || version === undefined || release === undefined) return [];
    return [{ format, name, epoch, version, release, arch: arch ?? '', source: name }];
  });
  return packages.sort(comparePackages);
}

/** Metadata that lets others see what is in a commit, and how it differs from theirs, before they fetch it. */
export function packageListMetadata(packages: readonly InstalledPackage[]): Metadata {
  const [first] = packages;
  if (first === undefined) return new Map();
  const value = [...packages]
    .sort(comparePackages)
    .map(({ name, epoch, version, release, arch }) => [name, epoch, version, release, arch]);
  return new Map([
    [LIST, { type: LIST_TYPE, value }],
    ...(first.format === 'rpm' ? [] : ([[FORMAT, { type: 's', value: first.format }]] as const)),
  ]);
}
