import { comparePackages, type InstalledPackage, nevraOf } from '../package.ts';
import type { RpmDiffJson } from './diff-json.ts';
import type { PackageDiff } from './diff-packages.ts';

/** `N upgraded, N downgraded, N removed, N added`; '' for no difference. */
export function diffSummary(diff: { [part in keyof RpmDiffJson]: readonly unknown[] }): string {
  return (['upgraded', 'downgraded', 'removed', 'added'] as const)
    .flatMap((what) => (diff[what].length === 0 ? [] : [`${diff[what].length} ${what}`]))
    .join(', ');
}

/** The parts of a diff with their titles and lines, those that are empty left out. */
export function diffParts(diff: RpmDiffJson): { title: string; lines: string[] }[] {
  const modified = ([, name, [before], [after]]: RpmDiffJson['upgraded'][number]) => `${name} ${before} -> ${after}`;
  const single = ([, name, evr, arch]: RpmDiffJson['added'][number]) => `${name}-${evr}.${arch}`;
  return [
    { title: 'Upgraded', lines: diff.upgraded.map(modified) },
    { title: 'Downgraded', lines: diff.downgraded.map(modified) },
    { title: 'Removed', lines: diff.removed.map(single) },
    { title: 'Added', lines: diff.added.map(single) },
  ].filter(({ lines }) => lines.length > 0);
}

/** `rpm-ostree db diff --format=block`, and what `rpm-ostree upgrade` prints in the end. */
export const blockLines = (diff: RpmDiffJson): string[] =>
  diffParts(diff).flatMap(({ title, lines }) => [`${title}:`, ...lines.map((line) => `  ${line}`)]);

/** `rpm-ostree db diff --format=diff`: `+` added, `-` removed, `!` and `=` before and after. */
export function scriptLines(diff: PackageDiff): string[] {
  const entries: { first: InstalledPackage; lines: string[] }[] = [
    ...[...diff.upgraded, ...diff.downgraded].map(({ before, after }) => ({
      first: before,
      lines: [`!${nevraOf(before)}`, `=${nevraOf(after)}`],
    })),
    ...diff.removed.map((one) => ({ first: one, lines: [`-${nevraOf(one)}`] })),
    ...diff.added.map((one) => ({ first: one, lines: [`+${nevraOf(one)}`] })),
  ];
  return entries.sort((a, b) => comparePackages(a.first, b.first)).flatMap(({ lines }) => lines);
}
