import { AtomicError } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import type { MetadataType } from '../objects/type.ts';
import type { Repo } from '../repo/repo.ts';
import type { ContentWriter } from './content-writer.ts';
import type { ObjectSource, SourceStats } from './source.ts';

/** A repository on this machine: content is hard-linked where modes and file system allow, else copied. */
export class LocalSource implements ObjectSource {
  readonly label: string;
  readonly parallel = 64;
  readonly parallelContent = 64;
  readonly stats: SourceStats = { requests: 0, bytes: 0, connections: 0, retries: 0, resumedBytes: 0 };
  readonly repo: Repo;
  readonly trusted: boolean;

  constructor(repo: Repo, options: { trusted: boolean }) {
    this.label = repo.path;
    this.repo = repo;
    this.trusted = options.trusted;
  }

  async metadata(type: MetadataType, checksum: Checksum): Promise<Buffer | null> {
    try {
      return this.repo.loadObject(type, checksum);
    } catch (error) {
      if (error instanceof AtomicError && error.code === 'not-found') return null;
      throw error;
    }
  }

  async detachedMetadata(checksum: Checksum): Promise<Buffer | null> {
    return this.repo.readDetachedMetadata(checksum);
  }

  async hasTombstone(checksum: Checksum): Promise<boolean> {
    return this.repo.hasObject('tombstone-commit', checksum);
  }

  absent(type: string, checksum: Checksum): AtomicError {
    return new AtomicError('not-found', `Couldn't find ${type} object '${checksum}' in ${this.label}`, {
      hint: 'the repository there is incomplete; nothing was changed here',
    });
  }

  async content(writer: ContentWriter, checksum: Checksum): Promise<void> {
    await writer.local(this.repo, checksum, this.trusted);
  }

  [Symbol.dispose](): void {}
}
