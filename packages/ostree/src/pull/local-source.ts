import { AtomicError } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import type { MetadataType } from '../objects/type.ts';
import { validateRefName } from '../repo/ref-name.ts';
import type { Repo } from '../repo/repo.ts';
import type { Transaction } from '../repo/transaction.ts';
import type { ObjectSource, SourceStats } from './source.ts';

/** A repository on this machine: content is hard-linked where modes and file system allow, else copied. */
export class LocalSource implements ObjectSource {
  readonly label: string;
  readonly parallel = 4;
  readonly stats: SourceStats = { requests: 0, bytes: 0, connections: 0, retries: 0, resumedBytes: 0 };
  readonly #repo: Repo;
  readonly #trusted: boolean;

  constructor(repo: Repo, options: { trusted: boolean }) {
    this.label = repo.path;
    this.#repo = repo;
    this.#trusted = options.trusted;
  }

  async resolveRef(ref: string): Promise<Checksum | null> {
    return this.#repo.readRef(validateRefName(ref));
  }

  async listRefs(): Promise<Map<string, Checksum>> {
    return this.#repo.listRefs({ remotes: false });
  }

  async metadata(type: MetadataType, checksum: Checksum): Promise<Buffer | null> {
    try {
      return this.#repo.loadObject(type, checksum);
    } catch (error) {
      if (error instanceof AtomicError && error.code === 'not-found') return null;
      throw error;
    }
  }

  async detachedMetadata(checksum: Checksum): Promise<Buffer | null> {
    return this.#repo.readDetachedMetadata(checksum);
  }

  async content(transaction: Transaction, checksum: Checksum): Promise<void> {
    await transaction.importFrom(this.#repo, 'file', checksum, { trusted: this.#trusted });
  }

  [Symbol.dispose](): void {}
}
