import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { decode } from '../gvariant/decode.ts';
import { encode } from '../gvariant/encode.ts';
import { asArray, asBigint, asBytes, asString, swap64 } from '../gvariant/value.ts';
import { type Metadata, metadataFromValue, metadataString, metadataToValue } from '../gvariant/vardict.ts';
import { type Checksum, checksumFromBytes, checksumToBytes } from '../objects/checksum.ts';
import { validateRefName } from '../repo/ref-name.ts';
import type { Repo } from '../repo/repo.ts';
import { replaceFile } from '../repo/write-file.ts';

const TYPE = '(a(s(taya{sv}))a{sv})';

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

/** Reads a `summary` file (ostree-core.h, OSTREE_SUMMARY_GVARIANT_FORMAT); throws `corrupt` or `invalid`. */
export function parseSummary(bytes: Uint8Array): Summary {
  const [refs, metadata] = asArray(decode(TYPE, bytes));
  return {
    refs: asArray(refs).map((entry) => {
      const [ref, about] = asArray(entry);
      const [size, commit, extra] = asArray(about);
      return {
        ref: validateRefName(asString(ref)),
        size: asBigint(size),
        commit: checksumFromBytes(asBytes(commit)),
        metadata: metadataFromValue(extra),
      };
    }),
    metadata: metadataFromValue(metadata),
  };
}

/** The summary on disk, or null. */
export function readSummary(repo: Repo): Buffer | null {
  const path = join(repo.path, 'summary');
  return existsSync(path) ? readFileSync(path) : null;
}

/** Writes `summary` anew from the local refs; `now` (Unix seconds) becomes its time. A stale signature goes. */
export function updateSummary(repo: Repo, options: { now?: number | undefined } = {}): void {
  const refs = [...repo.listRefs({ remotes: false })].flatMap(([ref, commit]) => {
    if (!repo.hasObject('commit', commit)) return [];
    const bytes = repo.loadObject('commit', commit);
    const { timestamp, metadata } = repo.loadCommit(commit);
    const extra: Metadata = new Map();
    const version = metadataString(metadata, 'version');
    if (version !== undefined) extra.set('ostree.commit.version', { type: 's', value: version });
    extra.set('ostree.commit.timestamp', { type: 't', value: swap64(BigInt(timestamp)) });
    return [[ref, [BigInt(bytes.length), checksumToBytes(commit), metadataToValue(extra)]]];
  });
  const about: Metadata = new Map();
  about.set('ostree.summary.mode', { type: 's', value: repo.mode === 'archive' ? 'archive-z2' : repo.mode });
  about.set('ostree.summary.tombstone-commits', {
    type: 'b',
    value: repo.config.getBoolean('core', 'tombstone-commits') ?? false,
  });
  about.set('ostree.summary.last-modified', {
    type: 't',
    value: swap64(BigInt(options.now ?? Math.floor(Date.now() / 1000))),
  });
  about.set('ostree.summary.indexed-deltas', { type: 'b', value: true });
  rmSync(join(repo.path, 'summary.sig'), { force: true });
  replaceFile(join(repo.path, 'summary'), encode(TYPE, [refs, metadataToValue(about)]), { sync: repo.fsync });
}
