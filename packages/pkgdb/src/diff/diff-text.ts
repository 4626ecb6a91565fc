import { comparePackages, evrOf, type InstalledPackage, nevraOf } from '../package.ts';
import type { ModifiedPackage, PackageDiff } from './diff-packages.ts';

/** `N upgraded, N downgraded, N removed, N added`; '' for no difference. */
export function diffSummary(diff: PackageDiff): string {
  return (['upgraded', 'downgraded', 'removed', 'added'] as const)
    .flatMap((what) => (diff[what].length === 0 ? [] : [`${diff[what].length} ${what}`]))
    .join(', ');
}

const modifiedLine = ({ before, after }: ModifiedPackage): string =>
  `${before.name} ${evrOf(before)} -> ${evrOf(after)}`;

/** The parts of a diff with their titles and lines, those that are empty left out. */
export function diffParts(diff: PackageDiff): { title: string; lines: string[] }[] {
  return [
    { title: 'Upgraded', lines: diff.upgraded.map(modifiedLine) },
    { title: 'Downgraded', lines: diff.downgraded.map(modifiedLine) },
    { title: 'Removed', lines: diff.removed.map(nevraOf) },
    { title: 'Added', lines: diff.added.map(nevraOf) },
  ].filter(({ lines }) => lines.length > 0);
}

/** `rpm-ostree db diff --format=block`. */
export const blockLines = (diff: PackageDiff): string[] =>
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
