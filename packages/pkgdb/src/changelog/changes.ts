import type { ModifiedPackage } from '../diff/diff-packages.ts';
import { evrOf, type InstalledPackage, nevraOf } from '../package.ts';
import { printable } from '../printable.ts';
import { readPackages } from '../read-packages.ts';
import { type RpmHeader, TAG } from '../rpm/header.ts';
import { findRpmdb, packageOfHeader, rpmHeaders } from '../rpm/rpmdb.ts';
import type { TreeView } from '../tree/tree-view.ts';
import { compareDebVersions } from '../version/deb-version.ts';
import { parseDebChangelog, readDebChangelog } from './deb-changelog.ts';
import { type ChangelogEntry, cvesIn } from './entry.ts';

/** What an upgrade's changelog says is new. */
export interface PackageChanges extends ModifiedPackage {
  /** Newest first; none where there is no changelog, or it is shown with the next package of the same source. */
  entries: ChangelogEntry[];
}

/**
 * What is new in each upgraded package according to its changelog: dpkg's in the tree's documentation, rpm's in its
 * database. Packages of one source have one changelog: it is given with the last of them. `fetched` are changelogs of
 * {@link changelogsMissing}, by name of package.
 */
export function readChanges(
  before: TreeView,
  after: TreeView,
  upgraded: readonly ModifiedPackage[],
  fetched: ReadonlyMap<string, string> = new Map(),
): PackageChanges[] {
  const [old, young] = [new RpmChangelogs(before, upgraded), new RpmChangelogs(after, upgraded)];
  const known = withSources(after, upgraded);
  return known.map((one, i) => {
    if (!isLastOfSource(known, i)) return { ...one, entries: [] };
    const entries =
      one.after.format === 'deb'
        ? debChanges(before, after, one, fetched)
        : rpmChanges(old.of(one.before), young.of(one.after));
    return { ...one, entries };
  });
}

/** Lists in commit metadata do not say which source a package was built from; the database does. */
function withSources(after: TreeView, upgraded: readonly ModifiedPackage[]): ModifiedPackage[] {
  const installed = new Map((readPackages(after) ?? []).map((one) => [nevraOf(one), one]));
  return upgraded.map((one) => ({ ...one, after: installed.get(nevraOf(one.after)) ?? one.after }));
}

const isLastOfSource = (upgraded: readonly ModifiedPackage[], index: number): boolean =>
  !upgraded.slice(index + 1).some((other) => other.after.source === upgraded[index]?.after.source);

/** Upgraded Debian packages, one of each source, whose changelogs the tree was made without. */
export const changelogsMissing = (after: TreeView, upgraded: readonly ModifiedPackage[]): InstalledPackage[] =>
  withSources(after, upgraded)
    .filter((_, index, known) => isLastOfSource(known, index))
    .map((one) => one.after)
    .filter(({ format, name }) => format === 'deb' && readDebChangelog(after, name).next().done === true);

function debChanges(
  before: TreeView,
  after: TreeView,
  one: ModifiedPackage,
  fetched: ReadonlyMap<string, string>,
): ChangelogEntry[] {
  // A package's version may be another than its source's, which the changelog is of.
  const [last] = readDebChangelog(before, one.before.name).take(1);
  const known = last?.version ?? evrOf(one.before);
  const text = fetched.get(one.after.name);
  return (text === undefined ? readDebChangelog(after, one.after.name) : parseDebChangelog(text))
    .filter(({ version }) => compareDebVersions(version, known) > 0)
    .toArray();
}

/** Entries before the newest that the old package had, as rpm-ostree finds them. */
function rpmChanges(before: readonly ChangelogEntry[], after: readonly ChangelogEntry[]): ChangelogEntry[] {
  const [last] = before;
  if (last === undefined) return [];
  const known = after.findIndex(
    ({ date, author, text }) =>
      date < last.date || (date === last.date && author === last.author && text === last.text),
  );
  return after.slice(0, known < 0 ? after.length : known);
}

/** The changelogs of a tree's RPM database, of certain packages; read on first use. */
class RpmChangelogs {
  readonly #view: TreeView;
  readonly #wanted: ReadonlySet<string>;
  #entries: Map<string, ChangelogEntry[]> | undefined;

  constructor(view: TreeView, upgraded: readonly ModifiedPackage[]) {
    this.#view = view;
    this.#wanted = new Set(upgraded.flatMap(({ before, after }) => [nevraOf(before), nevraOf(after)]));
  }

  of(one: InstalledPackage): ChangelogEntry[] {
    this.#entries ??= this.#read();
    return this.#entries.get(nevraOf(one)) ?? [];
  }

  #read(): Map<string, ChangelogEntry[]> {
    const entries = new Map<string, ChangelogEntry[]>();
    const folder = findRpmdb(this.#view);
    if (folder === null) return entries;
    for (const header of rpmHeaders(this.#view, folder)) {
      const one = packageOfHeader(header);
      if (one === null || !this.#wanted.has(nevraOf(one))) continue;
      entries.set(nevraOf(one), rpmChangelog(header));
    }
    return entries;
  }
}

/** The changelog in a package's header, newest first. */
function rpmChangelog(header: RpmHeader): ChangelogEntry[] {
  const strings = (tag: number) => (header.strings(tag) ?? []).map(printable);
  const [authors, texts] = [strings(TAG.changelogName), strings(TAG.changelogText)];
  return (header.numbers(TAG.changelogTime) ?? []).map((date, i) => {
    const text = texts[i] ?? '';
    const cves = cvesIn(text);
    return { date, author: authors[i] ?? '', text, cves, security: cves.length > 0 };
  });
}
