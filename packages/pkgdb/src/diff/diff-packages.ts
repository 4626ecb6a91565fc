import { compareEvr, comparePackages, type InstalledPackage } from '../package.ts';

/** A package that another version, or architecture, takes the place of. */
export interface ModifiedPackage {
  before: InstalledPackage;
  after: InstalledPackage;
}

/** How the packages of one tree differ from those of another; every list in order of name. */
export interface PackageDiff {
  upgraded: ModifiedPackage[];
  downgraded: ModifiedPackage[];
  removed: InstalledPackage[];
  added: InstalledPackage[];
}

export const isEmptyDiff = ({ upgraded, downgraded, removed, added }: PackageDiff): boolean =>
  upgraded.length + downgraded.length + removed.length + added.length === 0;

function byName(packages: readonly InstalledPackage[]): Map<string, InstalledPackage[]> {
  const groups = new Map<string, InstalledPackage[]>();
  for (const one of [...packages].sort(comparePackages)) {
    // Packages of two formats are never versions of each other.
    const key = `${one.name}\0${one.format}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [one]);
    else group.push(one);
  }
  return groups;
}

/** Pairs packages of one name, as rpm-ostree does: by architecture; where there is one only on either side, that changed. */
function pair(before: readonly InstalledPackage[], after: readonly InstalledPackage[]) {
  const same = (a: InstalledPackage, b: InstalledPackage) => a.arch === b.arch && compareEvr(a, b) === 0;
  const old = before.filter((a) => !after.some((b) => same(a, b)));
  const young = after.filter((b) => !before.some((a) => same(a, b)));
  const modified: ModifiedPackage[] = [];
  for (const a of [...old]) {
    const b = young.find((one) => one.arch === a.arch || (before.length === 1 && after.length === 1));
    if (b === undefined) continue;
    modified.push({ before: a, after: b });
    old.splice(old.indexOf(a), 1);
    young.splice(young.indexOf(b), 1);
  }
  return { modified, removed: old, added: young };
}

/** Compares what two trees have installed. */
export function diffPackages(before: readonly InstalledPackage[], after: readonly InstalledPackage[]): PackageDiff {
  const [old, young] = [byName(before), byName(after)];
  const diff: PackageDiff = { upgraded: [], downgraded: [], removed: [], added: [] };
  for (const name of [...new Set([...old.keys(), ...young.keys()])].sort()) {
    const { modified, removed, added } = pair(old.get(name) ?? [], young.get(name) ?? []);
    for (const one of modified) diff[comparePackages(one.before, one.after) > 0 ? 'downgraded' : 'upgraded'].push(one);
    diff.removed.push(...removed);
    diff.added.push(...added);
  }
  return diff;
}
