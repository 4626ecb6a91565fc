import type { Checksum } from '../objects/checksum.ts';
import type { ObjectType } from '../objects/type.ts';
import type { Repo } from '../repo/repo.ts';
import type { Stager, Stored } from '../repo/stager.ts';
import {
  type ContentSource,
  checkMetadata,
  metadataChecksum,
  placeMetadata,
  storeContentSource,
} from '../repo/store-object.ts';
import type { Transaction } from '../repo/transaction.ts';
import type { DeltaObject, DeltaObjectType } from './superblock.ts';

/** What a part has made, as plain data. */
export interface MadeObjects {
  content: Stored[];
  metadata: (DeltaObject & { type: Exclude<DeltaObjectType, 'file'> })[];
}

/** Tells a transaction of objects that are in its staging folder. Throws `no-space`. */
export function noteMade(transaction: Transaction, { content, metadata }: MadeObjects): void {
  for (const stored of content) transaction.noteStored(stored);
  for (const { type, checksum } of metadata) transaction.noteMetadata(type, checksum);
}

/**
 * Where the objects of a part go: a transaction's staging folder, written to from any thread. The transaction is to be
 * told of what was made, of a part that failed as well.
 */
export class PartSink {
  readonly repo: Repo;
  readonly made: MadeObjects = { content: [], metadata: [] };
  readonly #stager: Stager;

  constructor(repo: Repo, stager: Stager) {
    this.repo = repo;
    this.#stager = stager;
  }

  /** One of this thread: the transaction knows of what was made when `make` is done. */
  static async within<T>(transaction: Transaction, make: (sink: PartSink) => Promise<T>): Promise<T> {
    const sink = new PartSink(transaction.repo, transaction.stager);
    try {
      return await make(sink);
    } finally {
      noteMade(transaction, sink.made);
    }
  }

  /** For what is too large for memory. */
  get stageDir(): string {
    return this.#stager.target.stageDir;
  }

  has(type: ObjectType, checksum: Checksum): boolean {
    return this.#stager.has(type, checksum) || this.repo.parent?.hasObject(type, checksum) === true;
  }

  /** Stages a metadata object that is not here. Throws `corrupt` unless it is well-formed and the one expected. */
  metadata(type: Exclude<DeltaObjectType, 'file'>, bytes: Uint8Array, expected: Checksum): void {
    checkMetadata(type, bytes);
    placeMetadata(this.#stager, type, metadataChecksum(type, bytes, expected), bytes);
    this.made.metadata.push({ type, checksum: expected });
  }

  /** Stages a content object that is not here. Throws `corrupt` unless it is the one expected. */
  async content(content: ContentSource, expected: Checksum): Promise<void> {
    this.made.content.push(await storeContentSource(this.#stager, content, expected, { absent: true }));
  }
}
