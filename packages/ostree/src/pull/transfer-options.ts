import type { Checksum } from '../objects/checksum.ts';
import type { Progress } from '../progress.ts';
import type { RefTarget } from '../repo/refs.ts';
import type { BeginOptions, Repo } from '../repo/repo.ts';
import type { DeltaTransfer } from './delta-transfer.ts';
import type { TransferCounts } from './result.ts';
import type { ObjectSource } from './source.ts';
import type { Subpaths } from './subpaths.ts';

/** One commit to bring, and the ref here that is to point to it. */
export interface Wanted {
  /** What was asked for: a branch or a checksum. */
  name: string;
  checksum: Checksum;
  /** Branch the commit must be bound to, if it is bound at all. */
  branch: string | null;
  collectionId: string | undefined;
  target: RefTarget | null;
  /** The commit the branch was at here. */
  previous: Checksum | null;
  /** Bytes the commit object may have, where the summary says so. */
  size: number | undefined;
}

export interface TransferOptions extends BeginOptions {
  /** How many parents to bring along; -1 for all. */
  depth?: number | undefined;
  commitMetadataOnly?: boolean | undefined;
  /** Refuse a commit older than the one the ref points to. */
  timestampCheck?: boolean | undefined;
  /** Refuse a commit older than the one this names (a ref or checksum here). */
  timestampCheckFrom?: string | undefined;
  /** Do not look at which branch and collection a commit says it belongs to. */
  disableVerifyBindings?: boolean | undefined;
  /** Refuse files with permissions beyond 0775. */
  bareUserOnlyFiles?: boolean | undefined;
  /** Repositories on this machine to take objects from before fetching them. */
  localCaches?: readonly Repo[] | undefined;
  progress?: Progress | undefined;
  /** How often progress is reported, in ms (100). */
  progressInterval?: number | undefined;
}

/** What a transfer needs to know besides what the caller chose. */
export interface TransferContext {
  source: ObjectSource;
  /** The collection commits must be bound to. */
  collectionId: string | undefined;
  subpaths: Subpaths;
  /** Take checksums on trust: of what local caches hold, and of what comes over the network. */
  trustCaches: boolean;
  trustNetwork: boolean;
  /** Deleted commits leave tombstones at the source. */
  tombstones: boolean;
  /** Throws unless the commit is signed as it must be. */
  verifyCommit(checksum: Checksum, bytes: Buffer, detached: Buffer | null, wanted: readonly Wanted[]): Promise<void>;
  /** Deltas to look for; null for objects alone. */
  deltas: DeltaTransfer | null;
  counts: TransferCounts;
  signal: AbortSignal;
}
