import type { Checksum } from '../objects/checksum.ts';
import type { MetadataType } from '../objects/type.ts';
import type { ContentWriter } from './content-writer.ts';

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
  /** How many objects are worth asking for at a time, and how many of them may be content. */
  readonly parallel: number;
  readonly parallelContent: number;
  /** Raw bytes of a metadata object, or null when it is not there. Longer than `limit` bytes is `corrupt`. */
  metadata(type: MetadataType, checksum: Checksum, limit?: number): Promise<Buffer | null>;
  /** A commit's detached metadata (an `a{sv}`), or null. */
  detachedMetadata(checksum: Checksum): Promise<Buffer | null>;
  /** Whether there is a tombstone for a commit that was deleted. */
  hasTombstone(checksum: Checksum): Promise<boolean>;
  /** Brings a content object to the writer; throws `not-found`, or `corrupt` naming the object. */
  content(writer: ContentWriter, checksum: Checksum): Promise<void>;
  /** What to say of an object that is not there. */
  absent(type: string, checksum: Checksum): Error;
}
