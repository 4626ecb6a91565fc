import type { Checksum } from '../objects/checksum.ts';
import type { MetadataType } from '../objects/type.ts';
import type { Transaction } from '../repo/transaction.ts';

/** What a source did so far. */
export interface SourceStats {
  requests: number;
  /** Bytes that came over the network. */
  bytes: number;
  connections: number;
  retries: number;
  /** Bytes that needed no second transfer, because an interrupted download was continued. */
  resumedBytes: number;
}

/** Where objects come from: a repository behind HTTP or one on this machine. What it hands over is not yet trusted. */
export interface ObjectSource extends Disposable {
  /** For messages: a URL or a path. */
  readonly label: string;
  readonly stats: SourceStats;
  /** How many objects are worth asking for at a time. */
  readonly parallel: number;
  /** The commit a branch points to there, or null. */
  resolveRef(ref: string): Promise<Checksum | null>;
  /** All branches there; throws `not-found` when the source cannot list them. */
  listRefs(): Promise<Map<string, Checksum>>;
  /** Raw bytes of a metadata object, or null when it is not there. */
  metadata(type: MetadataType, checksum: Checksum): Promise<Buffer | null>;
  detachedMetadata(checksum: Checksum): Promise<Buffer | null>;
  /** Brings a content object into the transaction; throws `not-found`, or `corrupt` naming the object. */
  content(transaction: Transaction, checksum: Checksum): Promise<void>;
}
