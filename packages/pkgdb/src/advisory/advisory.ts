import {
  asArray,
  asNumber,
  asString,
  type Checksum,
  type Metadata,
  metadataFromValue,
  type Repo,
  swap32,
  type Value,
} from '@atomic/ostree';
import type { PackageChanges } from '../changelog/changes.ts';
import { evrOf, nevraOf } from '../package.ts';
import { printable } from '../printable.ts';

export const SEVERITIES = ['unknown', 'low', 'moderate', 'important', 'critical'] as const;
/** libdnf's kinds, by their numbers. */
const KINDS = ['unknown', 'security', 'bugfix', 'enhancement', 'newpackage'] as const;

/** What a distribution says about versions that mend something: rpm-ostree's tuple. */
export interface Advisory {
  id: string;
  kind: (typeof KINDS)[number];
  severity: (typeof SEVERITIES)[number];
  /** `name-version.arch` of those packages that are in the tree. */
  packages: string[];
  references: { url: string; title: string }[];
}

/** In a commit's metadata (rpm-ostree's `advisories-metadata: inline`). */
const KEY = 'rpmostree.advisories';
const TYPE = 'a(suuasa{sv})';
const REFERENCES = 'cve_references';

/** A compose server writes numbers big-endian, as ostree does its own; none of these is large. */
const small = (value: Value | undefined): number => {
  const number = asNumber(value);
  return number > 0xffffff ? swap32(number) : number;
};

const text = (value: Value | undefined): string => printable(asString(value));

function advisoryOf(value: Value): Advisory {
  const [id, kind, severity, packages, more] = asArray(value);
  const references = metadataFromValue(more).get(REFERENCES);
  return {
    id: text(id),
    kind: KINDS[small(kind)] ?? 'unknown',
    severity: SEVERITIES[small(severity)] ?? 'unknown',
    packages: asArray(packages).map(text),
    references: (references?.type === 'a(ss)' ? asArray(references.value) : []).map((pair) => {
      const [url, title] = asArray(pair);
      return { url: text(url), title: text(title) };
    }),
  };
}

/** The advisories a commit's metadata lists; none where it has no list. */
export function parseAdvisories(metadata: Metadata): Advisory[] {
  const list = metadata.get(KEY);
  return list?.type === TYPE ? asArray(list.value).map(advisoryOf) : [];
}

/** Metadata that tells those who have the commit what it mends; rpm-ostree reads it. */
export function advisoriesMetadata(advisories: readonly Advisory[]): Metadata {
  if (advisories.length === 0) return new Map();
  const value = advisories.map(({ id, kind, severity, packages, references }): Value => {
    const pairs = references.map(({ url, title }) => [url, title]);
    return [
      id,
      swap32(KINDS.indexOf(kind)),
      swap32(SEVERITIES.indexOf(severity)),
      packages,
      [[REFERENCES, { type: 'a(ss)', value: pairs }]],
    ];
  });
  return new Map([[KEY, { type: TYPE, value }]]);
}

/** An advisory as rpm-ostree prints it in JSON. */
export type AdvisoryJson = [
  id: string,
  kind: number,
  severity: number,
  packages: string[],
  more: { [REFERENCES]: [url: string, title: string][] },
];

export const advisoryJson = ({ id, kind, severity, packages, references }: Advisory): AdvisoryJson => [
  id,
  KINDS.indexOf(kind),
  SEVERITIES.indexOf(severity),
  packages,
  { [REFERENCES]: references.map(({ url, title }) => [url, title]) },
];

export const advisoryOfJson = ([id, kind, severity, packages, more]: AdvisoryJson): Advisory => ({
  id,
  kind: KINDS[kind] ?? 'unknown',
  severity: SEVERITIES[severity] ?? 'unknown',
  packages,
  references: more[REFERENCES].map(([url, title]) => ({ url, title })),
});

/** The advisories of `to` that `from` has not: what an upgrade brings. */
export function newAdvisories(repo: Repo, from: Checksum, to: Checksum): Advisory[] {
  const known = new Set(parseAdvisories(repo.loadCommit(from).metadata).map(({ id }) => id));
  return parseAdvisories(repo.loadCommit(to).metadata).filter(({ id }) => !known.has(id));
}

/** Where a CVE is described, whoever mends it. */
export const cveReference = (cve: string) => ({ url: `https://www.cve.org/CVERecord?id=${cve}`, title: cve });

/**
 * Advisories where nobody made a list, from what the changelogs of upgraded packages say: an upload to a security suite,
 * or an entry that names a CVE.
 */
export function changelogAdvisories(changes: readonly PackageChanges[]): Advisory[] {
  return changes.flatMap(({ after, entries }): Advisory[] => {
    const mending = entries.filter(({ security }) => security);
    if (mending.length === 0) return [];
    const packages = changes.filter((one) => one.after.source === after.source).map((one) => nevraOf(one.after));
    const id = mending.flatMap(({ text }) => /\bD[SL]A-\d+-\d+\b/.exec(text)?.[0] ?? [])[0];
    return [
      {
        id: id ?? `${after.source}_${evrOf(after)}`,
        kind: 'security',
        severity: 'unknown',
        packages,
        references: [...new Set(mending.flatMap(({ cves }) => cves))].map(cveReference),
      },
    ];
  });
}

/** Advisories that name no CVE, with those that the changelogs of their packages name. */
export function withReferences(advisories: readonly Advisory[], changes: readonly PackageChanges[]): Advisory[] {
  const sources = new Map(changes.map(({ after }) => [nevraOf(after), after.source]));
  return advisories.map((one) => {
    if (one.references.length > 0) return one;
    const named = new Set(one.packages.map((nevra) => sources.get(nevra)));
    const entries = changes.flatMap(({ after, entries }) => (named.has(after.source) ? entries : []));
    return { ...one, references: [...new Set(entries.flatMap(({ cves }) => cves))].map(cveReference) };
  });
}
