import { rpmDiffJson } from '../diff/diff-json.ts';
import type { PackageDiff } from '../diff/diff-packages.ts';
import { blockLines } from '../diff/diff-text.ts';
import { evrOf, type InstalledPackage } from '../package.ts';
import type { PackageChanges } from './changes.ts';
import type { ChangelogEntry } from './entry.ts';

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** `Thu Jan 02 2020`, in UTC, as RPM changelogs have it. */
function dayText(seconds: number): string {
  const date = new Date(seconds * 1000);
  const [day, month] = [DAYS[date.getUTCDay()], MONTHS[date.getUTCMonth()]];
  return `${day} ${month} ${String(date.getUTCDate()).padStart(2, '0')} ${date.getUTCFullYear()}`;
}

const INDENTATION = '    ';

function entryLines({ date, author, text }: ChangelogEntry): string[] {
  const lines = [`* ${dayText(date)} ${author}`, ...text.split('\n')];
  return [...lines.map((line) => `${INDENTATION}${line}`.trimEnd()), ''];
}

/** `rpm-ostree db diff --changelogs`: the block with architectures, and what is new beneath each upgraded package. */
export function changesLines(diff: PackageDiff, changes: readonly PackageChanges[]): string[] {
  const evra = (one: InstalledPackage) => `${evrOf(one)}.${one.arch}`;
  const line = ({ before, after }: { before: InstalledPackage; after: InstalledPackage }) =>
    `  ${before.name} ${evra(before)} -> ${evra(after)}`;
  return [
    ...(changes.length === 0 ? [] : ['Upgraded:']),
    ...changes.flatMap((one) => [line(one), ...one.entries.flatMap(entryLines)]),
    ...(diff.downgraded.length === 0 ? [] : ['Downgraded:', ...diff.downgraded.map(line)]),
    ...blockLines({ ...rpmDiffJson(diff), upgraded: [], downgraded: [] }),
  ];
}
