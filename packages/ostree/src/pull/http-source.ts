import { AtomicError } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import { MAX_METADATA_SIZE, type MetadataType } from '../objects/type.ts';
import type { Repo } from '../repo/repo.ts';
import type { ContentWriter } from './content-writer.ts';
import type { Download } from './download.ts';
import type { Endpoint } from './endpoint.ts';
import type { Fetcher } from './http/fetcher.ts';
import { joinUrl, printableUrl } from './http/url.ts';
import { PartialFolder } from './partial-folder.ts';
import type { ObjectSource, SourceStats } from './source.ts';

export interface HttpSourceOptions {
  /** Requests under way at a time. */
  parallel: number;
  /** Bodies above this many bytes go to a resumable file (512 KiB). */
  spillBytes?: number | undefined;
}

/**
 * The most bytes an archive object can honestly have, from its first 16: header length and content size. Deflate
 * never needs twice the content, so an endless body is cut off before it fills the disk.
 */
function archiveObjectLimit(head: Buffer): number {
  return 8 + head.readUInt32BE(0) + 2 * Number(head.readBigUInt64BE(8)) + 1024 * 1024;
}

/** A repository in archive mode behind HTTP(S). Partial downloads are kept in the destination's `tmp/`. */
export class HttpSource implements ObjectSource {
  readonly label: string;
  readonly parallel: number;
  readonly parallelContent: number;
  readonly #endpoint: Endpoint;
  readonly #options: HttpSourceOptions;
  readonly #fetcher: Fetcher;
  readonly #partials: PartialFolder;

  constructor(repo: Repo, fetcher: Fetcher, endpoint: Endpoint, options: HttpSourceOptions) {
    const [first] = endpoint.content;
    this.label = first === undefined ? '' : printableUrl(first);
    this.#endpoint = endpoint;
    this.#options = options;
    this.#fetcher = fetcher;
    this.parallelContent = options.parallel;
    // Some places are kept for metadata, which tells what else there is to fetch.
    this.parallel = options.parallel + 16;
    this.#partials = new PartialFolder(repo);
  }

  get stats(): SourceStats {
    return this.#fetcher.stats;
  }

  async metadata(type: MetadataType, checksum: Checksum, limit = MAX_METADATA_SIZE): Promise<Buffer | null> {
    const path = objectPath(checksum, type);
    return (await this.#fetcher.get(this.#endpoint.content, path, { limit }))?.bytes ?? null;
  }

  async detachedMetadata(checksum: Checksum): Promise<Buffer | null> {
    const path = objectPath(checksum, 'commitmeta');
    return (await this.#fetcher.get(this.#endpoint.meta, path, { limit: MAX_METADATA_SIZE }))?.bytes ?? null;
  }

  async hasTombstone(checksum: Checksum): Promise<boolean> {
    const path = objectPath(checksum, 'tombstone-commit');
    return (await this.#fetcher.get(this.#endpoint.content, path, { limit: MAX_METADATA_SIZE })) !== null;
  }

  absent(type: string, checksum: Checksum): AtomicError {
    return this.#absent(objectPath(checksum, type === 'file' ? 'filez' : type));
  }

  #absent(path: readonly string[]): AtomicError {
    const last = this.#endpoint.content.at(-1);
    const url = last === undefined ? path.join('/') : printableUrl(joinUrl(last, path));
    return new AtomicError('not-found', `While fetching ${url}: Server returned HTTP 404`, {
      hint: 'the repository there is incomplete; nothing was changed here',
    });
  }

  /** A small file of the repository that is not an object, or null. */
  async file(path: string, limit = MAX_METADATA_SIZE): Promise<Buffer | null> {
    return (await this.#fetcher.get(this.#endpoint.content, path.split('/'), { limit }))?.bytes ?? null;
  }

  async content(writer: ContentWriter, checksum: Checksum): Promise<void> {
    const path = objectPath(checksum, 'filez');
    // Twice: a splice of two versions of the same object has a wrong checksum without anybody being wrong.
    for (;;) {
      const download = await this.#fetched(checksum, path, archiveObjectLimit);
      if (!download.spliced) return await writer.filez(download.body(), checksum, () => download.discard());
      try {
        return await writer.filezNow(download.body(), checksum);
      } catch (error) {
        if (!(error instanceof AtomicError && error.code === 'corrupt')) throw error;
      } finally {
        download.discard();
      }
    }
  }

  /** Fetches a file of at most `size` bytes that may be large and hands it to `use`; throws `not-found`. */
  async large(path: string, size: number, use: (body: Buffer | { path: string }) => Promise<void>): Promise<void> {
    for (;;) {
      const download = await this.#fetched(path.replaceAll('/', '-'), path.split('/'), () => size);
      try {
        return await use(download.body());
      } catch (error) {
        if (!(error instanceof AtomicError && error.code === 'corrupt' && download.spliced)) throw error;
      } finally {
        download.discard();
      }
    }
  }

  async #fetched(name: string, path: readonly string[], limit: (head: Buffer) => number): Promise<Download> {
    const download = this.#partials.open(name, this.#options.spillBytes);
    let found: boolean;
    try {
      found = await this.#fetcher.download(this.#endpoint.content, path, download, { limit });
    } catch (error) {
      download.suspend();
      throw error;
    }
    if (found) return download;
    download.discard();
    throw this.#absent(path);
  }

  [Symbol.dispose](): void {
    this.#fetcher[Symbol.dispose]();
    this.#partials[Symbol.dispose]();
  }
}

const objectPath = (checksum: Checksum, extension: string): string[] => [
  'objects',
  checksum.slice(0, 2),
  `${checksum.slice(2)}.${extension}`,
];
