import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errnoCode } from '@atomic/linux';
import { decode } from '../gvariant/decode.ts';
import { asArray, asBigint, asBytes, asString, type Value } from '../gvariant/value.ts';
import { type Metadata, metadataFromValue, metadataString } from '../gvariant/vardict.ts';
import { type Checksum, checksumFromBytes } from '../objects/checksum.ts';
import { validateCollectionId, validateRefName } from '../repo/ref-name.ts';
import type { CollectionRef } from '../repo/refs.ts';
import type { Repo } from '../repo/repo.ts';

/** A summary file (ostree-core.h, OSTREE_SUMMARY_GVARIANT_FORMAT): refs, then metadata of the whole. */
export const SUMMARY_TYPE = '(a(s(taya{sv}))a{sv})';
/** `ostree.summary.collection-map`: refs by collection ID. */
export const COLLECTION_MAP_TYPE = 'a{sa(s(taya{sv}))}';

export interface SummaryRef {
  ref: string;
  /** Bytes of the commit object. */
  size: bigint;
  commit: Checksum;
  metadata: Metadata;
}
export interface Summary {
  refs: SummaryRef[];
  metadata: Metadata;
}

/** Reads a `summary` file; throws `corrupt` or `invalid`. */
export function parseSummary(bytes: Uint8Array): Summary {
  const [refs, metadata] = asArray(decode(SUMMARY_TYPE, bytes));
  return { refs: parseRefs(refs), metadata: metadataFromValue(metadata) };
}

function parseRefs(value: Value | undefined): SummaryRef[] {
  return asArray(value).map((entry) => {
    const [ref, about] = asArray(entry);
    const [size, commit, extra] = asArray(about);
    return {
      ref: validateRefName(asString(ref)),
      size: asBigint(size),
      commit: checksumFromBytes(asBytes(commit)),
      metadata: metadataFromValue(extra),
    };
  });
}

/** The refs of other collections that a summary lists, by collection ID. */
export function summaryCollections(summary: Summary): Map<string, SummaryRef[]> {
  const map = summary.metadata.get('ostree.summary.collection-map');
  if (map?.type !== COLLECTION_MAP_TYPE) return new Map();
  return new Map(
    asArray(map.value).map((entry) => {
      const [id, refs] = asArray(entry);
      return [validateCollectionId(asString(id)), parseRefs(refs)];
    }),
  );
}

/** Every ref a summary offers under a collection ID: the main one's and the other collections'. */
export function summaryCollectionRefs(summary: Summary): (CollectionRef & SummaryRef)[] {
  const main = metadataString(summary.metadata, 'ostree.summary.collection-id');
  const own = main === undefined ? [] : summary.refs.map((ref) => ({ ...ref, collectionId: main }));
  const others = [...summaryCollections(summary)].flatMap(([collectionId, refs]) =>
    refs.map((ref) => ({ ...ref, collectionId })),
  );
  return [...own, ...others];
}

/** The summary on disk, or null. */
export function readSummary(repo: Repo): Buffer | null {
  return readOptional(join(repo.path, 'summary'));
}

/** The signatures beside the summary, or null. */
export function readSummarySignatures(repo: Repo): Buffer | null {
  return readOptional(join(repo.path, 'summary.sig'));
}

function readOptional(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return null;
    throw error;
  }
}
