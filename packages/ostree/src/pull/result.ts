import type { Checksum } from '../objects/checksum.ts';
import type { SourceStats } from './source.ts';

/** How many objects came, as stock counts them. */
export class TransferCounts {
  fetchedMetadata = 0;
  fetchedContent = 0;
  /** From a repository on this machine. */
  importedMetadata = 0;
  importedContent = 0;
}

/** Static deltas of one pull. Sizes are bytes. */
export class DeltaCounts {
  fetchedParts = 0;
  totalParts = 0;
  fetchedFallbacks = 0;
  totalFallbacks = 0;
  fetchedSize = 0;
  totalSize = 0;
  /** Of the objects in the parts and fallbacks, unpacked. */
  totalUnpacked = 0;
  /** Bytes of content that parts made. */
  contentBytes = 0;
}

export interface PullResult extends SourceStats {
  /** What each requested ref (or checksum) resolved to. */
  commits: Map<string, Checksum>;
  /** Objects that were not here before, and how many of them were metadata and content. */
  objects: number;
  metadata: number;
  content: number;
  /** Bytes of content before compression. */
  contentBytes: number;
  seconds: number;
  /** The source was a repository on this machine. */
  local: boolean;
  counts: TransferCounts;
  deltas: DeltaCounts;
}
