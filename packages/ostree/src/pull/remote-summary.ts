import { AtomicError, corrupt } from '../error.ts';
import { asArray, asBigint, asBytes, asString, type Value } from '../gvariant/value.ts';
import { type Metadata, metadataString } from '../gvariant/vardict.ts';
import { type Checksum, checksumFromBytes } from '../objects/checksum.ts';
import { validateCollectionId, validateRefName } from '../repo/ref-name.ts';
import { parseSummary } from '../summary/summary.ts';

/** A branch as asked for or offered; without a collection it belongs to the remote's own. */
export interface OfferedRef {
  collectionId: string | undefined;
  ref: string;
}

export interface ResolvedRef extends OfferedRef {
  commit: Checksum;
  /** Bytes of the commit object. */
  size: bigint;
}

/** The digests of delta superblocks by delta name (`FROM-TO` or `TO`), from an `a{sv}`. Throws `corrupt`. */
export function deltaDigests(metadata: Metadata): Map<string, Buffer> {
  const found = metadata.get('ostree.static-deltas');
  const digests = new Map<string, Buffer>();
  if (found?.type !== 'a{sv}') return digests;
  for (const entry of asArray(found.value)) {
    const [name, variant] = asArray(entry);
    const digest = variant !== null && typeof variant === 'object' && 'value' in variant ? variant.value : undefined;
    const bytes = asBytes(digest);
    if (bytes.length !== 32) throw corrupt(`Invalid checksum of length ${bytes.length} expected 32`);
    digests.set(asString(name), bytes);
  }
  return digests;
}

/** What a remote's summary says, ready to be asked. */
export class RemoteSummary {
  /** The collection of the refs in the main list. */
  readonly collectionId: string | undefined;
  /** Mode of the repository there; undefined in summaries of old. */
  readonly mode: string | undefined;
  /** Whether deleted commits leave tombstones there; undefined in summaries of old. */
  readonly tombstones: boolean | undefined;
  /** Deltas are listed in files of their own, one for each commit they lead to. */
  readonly indexedDeltas: boolean;
  readonly deltas: ReadonlyMap<string, Buffer>;
  readonly #refs = new Map<string, ResolvedRef>();

  /** Throws `corrupt` and `invalid`: names in it become paths. */
  constructor(bytes: Buffer) {
    const { refs, metadata } = parseSummary(bytes);
    this.collectionId = metadataString(metadata, 'ostree.summary.collection-id');
    if (this.collectionId !== undefined) validateCollectionId(this.collectionId);
    this.mode = metadataString(metadata, 'ostree.summary.mode');
    const flag = (key: string) => {
      const value = metadata.get(key)?.value;
      return typeof value === 'boolean' ? value : undefined;
    };
    this.tombstones = flag('ostree.summary.tombstone-commits');
    this.indexedDeltas = flag('ostree.summary.indexed-deltas') ?? false;
    this.deltas = deltaDigests(metadata);
    for (const { ref, commit, size } of refs) {
      this.#add({ collectionId: this.collectionId, ref: validateRefName(ref), commit, size });
    }
    const map = metadata.get('ostree.summary.collection-map');
    if (map?.type !== 'a{sa(s(taya{sv}))}') return;
    for (const entry of asArray(map.value)) {
      const [id, list] = asArray(entry);
      const collectionId = validateCollectionId(asString(id));
      for (const one of asArray(list)) this.#add(collectionRef(collectionId, one));
    }
  }

  #add(entry: ResolvedRef): void {
    this.#refs.set(key(entry.collectionId, entry.ref), entry);
  }

  refs(): ResolvedRef[] {
    return [...this.#refs.values()];
  }

  /** Throws `not-found` in libostree's words. */
  lookup({ collectionId, ref }: OfferedRef): ResolvedRef {
    const found = this.#refs.get(key(collectionId ?? this.collectionId, ref));
    if (found !== undefined) return found;
    const name = collectionId === undefined ? `'${ref}'` : `(${collectionId}, ${ref})`;
    throw new AtomicError('not-found', `No such branch ${name} in repository summary`, {
      hint: 'list the branches there with: ostree remote refs REMOTE',
    });
  }
}

const key = (collectionId: string | undefined, ref: string): string => `${collectionId ?? ''}\n${ref}`;

function collectionRef(collectionId: string, entry: Value): ResolvedRef {
  const [name, about] = asArray(entry);
  const [size, commit] = asArray(about);
  return {
    collectionId,
    ref: validateRefName(asString(name)),
    commit: checksumFromBytes(asBytes(commit)),
    size: asBigint(size),
  };
}
