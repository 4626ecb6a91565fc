import { deltaName, listDeltas, superblockDigest } from '../delta/names.ts';
import { inHashTableOrder } from '../gvariant/dict-order.ts';
import { encode } from '../gvariant/encode.ts';
import { swap64, type Value } from '../gvariant/value.ts';
import { type Metadata, metadataString, metadataToValue } from '../gvariant/vardict.ts';
import { type Checksum, checksumToBytes } from '../objects/checksum.ts';
import { parseCommit } from '../objects/commit.ts';
import { listCollectionRefs } from '../repo/refs.ts';
import type { Repo } from '../repo/repo.ts';
import { COLLECTION_MAP_TYPE, SUMMARY_TYPE } from './summary.ts';

/** The years g_date_time_new_from_unix_utc() knows end here, in seconds. */
const MAX_TIME = 253_402_300_799;

/**
 * The bytes of a repository's summary, as libostree would write them at `now` (Unix seconds): local refs, or with a
 * collection ID those of its collection, other collections' refs, deltas, and `metadata` of the caller's own.
 */
export function buildSummary(repo: Repo, options: { now: number; metadata?: Metadata | undefined }): Buffer {
  const entry = refEntries(repo);
  const collectionId = repo.config.get('core', 'collection-id');
  const about: Metadata = new Map(options.metadata ?? []);
  const refs: Value[] = [];
  if (collectionId === undefined) {
    for (const [ref, commit] of repo.listRefs({ remotes: false })) refs.push(entry(ref, commit));
  }
  const deltas = repo.config.getBoolean('core', 'no-deltas-in-summary') === true ? [] : listDeltas(repo);
  if (deltas.length > 0) {
    const digests: Metadata = new Map(
      deltas.map((name) => [deltaName(name), { type: 'ay', value: superblockDigest(repo, name) }]),
    );
    about.set('ostree.static-deltas', { type: 'a{sv}', value: metadataToValue(inHashTableOrder(digests)) });
  }
  about.set('ostree.summary.last-modified', { type: 't', value: swap64(BigInt(options.now)) });
  about.set('ostree.summary.mode', { type: 's', value: repo.config.get('core', 'mode') ?? 'bare' });
  about.set('ostree.summary.tombstone-commits', {
    type: 'b',
    value: repo.config.getBoolean('core', 'tombstone-commits') ?? false,
  });
  about.set('ostree.summary.indexed-deltas', { type: 'b', value: true });
  const others = new Map<string, Value[]>();
  for (const { collectionId: id, ref, checksum } of listCollectionRefs(repo)) {
    if (id === collectionId) refs.push(entry(ref, checksum));
    else {
      const list = others.get(id) ?? [];
      list.push(entry(ref, checksum));
      others.set(id, list);
    }
  }
  if (collectionId !== undefined) about.set('ostree.summary.collection-id', { type: 's', value: collectionId });
  if (others.size > 0) {
    about.set('ostree.summary.collection-map', { type: COLLECTION_MAP_TYPE, value: [...others] });
  }
  return encode(SUMMARY_TYPE, [refs, metadataToValue(inHashTableOrder(about))]);
}

/** Makes `(s(taya{sv}))` entries; commits that several refs share are read once. */
function refEntries(repo: Repo): (ref: string, commit: Checksum) => Value {
  const known = new Map<Checksum, Value>();
  return (ref, checksum) => {
    let about = known.get(checksum);
    if (about === undefined) {
      const bytes = repo.loadObject('commit', checksum);
      const { timestamp, metadata } = parseCommit(bytes);
      const extra: Metadata = new Map();
      if (timestamp <= MAX_TIME) {
        extra.set('ostree.commit.timestamp', { type: 't', value: swap64(BigInt(timestamp)) });
      }
      const version = metadataString(metadata, 'version');
      if (version !== undefined) extra.set('ostree.commit.version', { type: 's', value: version });
      about = [BigInt(bytes.length), checksumToBytes(checksum), metadataToValue(inHashTableOrder(extra))];
      known.set(checksum, about);
    }
    return [ref, about];
  };
}
