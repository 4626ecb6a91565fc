import {
  asArray,
  asBigint,
  asBytes,
  asString,
  type Metadata,
  metadataFromValue,
  parseRepoMode,
  print,
  swap64,
  type Value,
  type Variant,
} from '@atomic/ostree';
import { formatLocalDate, formatSize } from './format.ts';

const COLLECTION_ID = 'ostree.summary.collection-id';
const COLLECTION_MAP = 'ostree.summary.collection-map';

/** The titles stock gives to the keys it knows, of refs and of the whole. */
const REF_TITLES: Record<string, string> = {
  'ostree.commit.timestamp': 'Timestamp',
  'ostree.commit.version': 'Version',
};
const TITLES: Record<string, string> = {
  'ostree.static-deltas': 'Static Deltas',
  'ostree.summary.last-modified': 'Last-Modified',
  'ostree.summary.expires': 'Expires',
  [COLLECTION_ID]: 'Collection ID',
  [COLLECTION_MAP]: 'Collection Map',
  'ostree.summary.mode': 'Repository Mode',
  'ostree.summary.tombstone-commits': 'Has Tombstone Commits',
};
const DATES = new Set(['ostree.summary.last-modified', 'ostree.summary.expires', 'ostree.commit.timestamp']);

function date(value: Value): string {
  const seconds = swap64(asBigint(value));
  return seconds > 253_402_300_799n ? 'invalid' : formatLocalDate(Number(seconds));
}

function modeText(mode: string): string {
  try {
    parseRepoMode(mode);
    return mode;
  } catch {
    return `Invalid (‘${mode}’)`;
  }
}

/** A key's value for people; a known key of an unexpected type is printed as any other. */
function valueText(key: string, { type, value }: Variant): string {
  if (DATES.has(key) && type === 't') return date(value);
  if (key === COLLECTION_MAP) return '(printed above)';
  if (key === 'ostree.summary.mode' && typeof value === 'string') return modeText(value);
  if (key === 'ostree.summary.tombstone-commits' && typeof value === 'boolean') return value ? 'Yes' : 'No';
  if ((key === COLLECTION_ID || key === 'ostree.commit.version') && typeof value === 'string') return value;
  return print(type, value, false);
}

function line(titles: Record<string, string>, key: string, variant: Variant): string {
  const title = Object.hasOwn(titles, key) ? titles[key] : undefined;
  return `${title === undefined ? key : `${title} (${key})`}: ${valueText(key, variant)}`;
}

interface ShownRef {
  collection: string | undefined;
  ref: string;
  size: number;
  commit: string;
  metadata: Metadata;
}

function shownRefs(value: Value): { refs: ShownRef[]; metadata: Metadata } {
  const [main, about] = asArray(value);
  const metadata = metadataFromValue(about);
  const id = metadata.get(COLLECTION_ID);
  const refs = refsOf(typeof id?.value === 'string' ? id.value : undefined, main);
  const map = metadata.get(COLLECTION_MAP);
  if (map?.type === 'a{sa(s(taya{sv}))}') {
    for (const entry of asArray(map.value)) {
      const [collection, others] = asArray(entry);
      refs.push(...refsOf(asString(collection), others));
    }
  }
  return { refs, metadata };
}

function refsOf(collection: string | undefined, value: Value | undefined): ShownRef[] {
  return asArray(value).map((item) => {
    const [ref, details] = asArray(item);
    const [size, commit, extra] = asArray(details);
    return {
      collection,
      ref: asString(ref),
      size: Number(asBigint(size)),
      commit: asBytes(commit).toString('hex'),
      metadata: metadataFromValue(extra),
    };
  });
}

/** A decoded summary as `summary -v` and `remote summary` print it; each line ends with a newline. */
export function summaryText(value: Value): string {
  const { refs, metadata } = shownRefs(value);
  const lines: string[] = [];
  for (const { collection, ref, size, commit, metadata: extra } of refs) {
    lines.push(`* ${collection === undefined ? ref : `(${collection}, ${ref})`}`);
    lines.push(`    Latest Commit (${formatSize(size)}):`, `      ${commit}`);
    for (const [key, variant] of extra) lines.push(`    ${line(REF_TITLES, key, variant)}`);
    lines.push('');
  }
  for (const [key, variant] of metadata) lines.push(line(TITLES, key, variant));
  return lines.map((text) => `${text}\n`).join('');
}

/** A decoded summary for `--json`. */
export function summaryJson(value: Value): unknown {
  const { refs, metadata } = shownRefs(value);
  const plain = (map: Metadata): Record<string, string> =>
    Object.fromEntries([...map].map(([key, variant]) => [key, print(variant.type, variant.value, false)]));
  return {
    refs: refs.map(({ collection, ...ref }) => ({
      ...(collection === undefined ? {} : { collection }),
      ...ref,
      metadata: plain(ref.metadata),
    })),
    metadata: plain(metadata),
  };
}
