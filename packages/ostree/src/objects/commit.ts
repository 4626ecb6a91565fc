import { corrupt } from '../error.ts';
import { decode } from '../gvariant/decode.ts';
import { encode } from '../gvariant/encode.ts';
import { asArray, asBigint, asBytes, asString, swap64 } from '../gvariant/value.ts';
import { type Metadata, metadataFromValue, metadataToValue } from '../gvariant/vardict.ts';
import { type Checksum, checksumFromBytes, checksumToBytes } from './checksum.ts';

export interface Commit {
  metadata: Metadata;
  parent: Checksum | null;
  subject: string;
  body: string;
  /** Unix time in seconds. */
  timestamp: number;
  /** The root directory's dirtree and dirmeta. */
  tree: Checksum;
  meta: Checksum;
}

export const COMMIT_TYPE = '(a{sv}aya(say)sstayay)';

/** The bytes of a commit object, whose SHA-256 is its name. */
export function serializeCommit(commit: Commit): Buffer {
  return encode(COMMIT_TYPE, [
    metadataToValue(commit.metadata),
    commit.parent === null ? Buffer.alloc(0) : checksumToBytes(commit.parent),
    [], // related objects: never used upstream
    commit.subject,
    commit.body,
    swap64(BigInt.asUintN(64, BigInt(commit.timestamp))),
    checksumToBytes(commit.tree),
    checksumToBytes(commit.meta),
  ]);
}

/** Reads a commit object; throws `corrupt`. */
export function parseCommit(bytes: Uint8Array): Commit {
  const [metadata, parent, , subject, body, timestamp, tree, meta] = asArray(decode(COMMIT_TYPE, bytes));
  const parentBytes = asBytes(parent);
  const commit: Commit = {
    metadata: metadataFromValue(metadata),
    parent: parentBytes.length === 0 ? null : checksumFromBytes(parentBytes),
    subject: asString(subject),
    body: asString(body),
    // Times before 1970 are negative, as libostree reads them; what no calendar knows is refused where it is shown.
    timestamp: Number(BigInt.asIntN(64, swap64(asBigint(timestamp)))),
    tree: checksumFromBytes(asBytes(tree)),
    meta: checksumFromBytes(asBytes(meta)),
  };
  if (commit.metadata.has('')) throw corrupt('Empty metadata key');
  return commit;
}
