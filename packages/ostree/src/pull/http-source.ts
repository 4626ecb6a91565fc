import { mkdirSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { FileLock } from '@atomic/linux';
import { AtomicError, corrupt } from '../error.ts';
import { asArray, asBytes, asString, decode } from '../gvariant/index.ts';
import { type Checksum, checksumFromBytes, isChecksum } from '../objects/checksum.ts';
import { MAX_METADATA_SIZE, type MetadataType } from '../objects/type.ts';
import { KeyFile } from '../repo/keyfile.ts';
import { validateRefName } from '../repo/ref-name.ts';
import type { Repo } from '../repo/repo.ts';
import type { Transaction } from '../repo/transaction.ts';
import { abortError } from './abort.ts';
import { Download } from './download.ts';
import { Fetcher, type FetcherOptions, joinUrl, printableUrl } from './fetcher.ts';
import type { ObjectSource, SourceStats } from './source.ts';

const maxRefBytes = 4096;
const maxConfigBytes = 1024 * 1024;
const partialSuffix = '.filez.part';

export interface HttpSourceOptions extends FetcherOptions {
  /** Another place for content objects (`contenturl`). */
  contentUrl?: URL | undefined;
  /** Bodies above this many bytes go to a resumable file. */
  spillBytes?: number | undefined;
}

/** A summary file, `(a(s(taya{sv}))a{sv})` (ostree-core.h): the branches of a repository. */
export function parseSummary(bytes: Uint8Array): Map<string, Checksum> {
  const refs = new Map<string, Checksum>();
  const [entries] = asArray(decode('(a(s(taya{sv}))a{sv})', bytes));
  for (const entry of asArray(entries)) {
    const [name, rest] = asArray(entry);
    const [, checksum] = asArray(rest);
    refs.set(validateRefName(asString(name)), checksumFromBytes(asBytes(checksum)));
  }
  return refs;
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
  readonly #url: URL;
  readonly #contentUrl: URL;
  readonly #options: HttpSourceOptions;
  readonly #fetcher: Fetcher;
  readonly #partials: PartialFolder;
  #summary: Promise<Map<string, Checksum> | null> | undefined;

  constructor(repo: Repo, url: URL, options: HttpSourceOptions = {}) {
    this.label = printableUrl(url);
    this.#url = url;
    this.#contentUrl = options.contentUrl ?? url;
    this.#options = options;
    this.#fetcher = new Fetcher(options);
    // More objects under way than requests: while some are unpacked and written, the connections stay busy.
    this.parallel = 2 * (options.concurrency ?? 8);
    this.#partials = new PartialFolder(repo);
  }

  get stats(): SourceStats {
    return this.#fetcher.stats;
  }

  /** Throws `unsupported` unless the remote is an archive repository, and `not-found` unless it is a repository. */
  async checkMode(): Promise<void> {
    const bytes = await this.#fetcher.get(joinUrl(this.#url, ['config']), { limit: maxConfigBytes });
    if (bytes === null) {
      throw new AtomicError('not-found', `no repository at ${this.label} (it has no config file)`, {
        hint: 'check the URL of the remote',
      });
    }
    const mode = KeyFile.parse(bytes.toString(), `${this.label}/config`).get('core', 'mode') ?? 'bare';
    if (mode !== 'archive' && mode !== 'archive-z2') {
      throw new AtomicError('unsupported', `can't pull over HTTP from ${this.label}: its mode is '${mode}'`, {
        hint: 'serve a repository of mode archive, made with: ostree init --mode=archive',
      });
    }
  }

  async resolveRef(ref: string): Promise<Checksum | null> {
    const segments = ['refs', 'heads', ...validateRefName(ref).split('/')];
    const bytes = await this.#fetcher.get(joinUrl(this.#url, segments), { limit: maxRefBytes });
    if (bytes !== null) {
      const checksum = bytes.toString('latin1').trim();
      if (!isChecksum(checksum)) throw corrupt(`the branch ${ref} on ${this.label} holds no checksum`);
      return checksum;
    }
    return (await this.#loadSummary())?.get(ref) ?? null;
  }

  async listRefs(): Promise<Map<string, Checksum>> {
    const refs = await this.#loadSummary();
    if (refs === null) {
      throw new AtomicError('not-found', 'Remote refs not available; server has no summary file', {
        hint: 'on the server, run: ostree summary --update',
      });
    }
    return refs;
  }

  #loadSummary(): Promise<Map<string, Checksum> | null> {
    this.#summary ??= this.#fetcher.get(joinUrl(this.#url, ['summary']), { limit: MAX_METADATA_SIZE }).then((bytes) => {
      try {
        return bytes === null ? null : parseSummary(bytes);
      } catch (error) {
        throw corrupt(`the summary of ${this.label} is corrupt: ${messageOf(error)}`, error);
      }
    });
    return this.#summary;
  }

  metadata(type: MetadataType, checksum: Checksum): Promise<Buffer | null> {
    return this.#fetcher.get(this.#objectUrl(this.#url, checksum, type), { limit: MAX_METADATA_SIZE });
  }

  detachedMetadata(checksum: Checksum): Promise<Buffer | null> {
    return this.#fetcher.get(this.#objectUrl(this.#url, checksum, 'commitmeta'), { limit: MAX_METADATA_SIZE });
  }

  #objectUrl(base: URL, checksum: Checksum, extension: string): URL {
    return joinUrl(base, ['objects', checksum.slice(0, 2), `${checksum.slice(2)}.${extension}`]);
  }

  async content(transaction: Transaction, checksum: Checksum): Promise<void> {
    const url = this.#objectUrl(this.#contentUrl, checksum, 'filez');
    // Twice: a splice of two versions of the same object has a wrong checksum without anybody being wrong.
    for (;;) {
      const download = this.#partials.open(checksum, this.#options.spillBytes);
      let found: boolean;
      try {
        found = await this.#fetcher.download(url, download, { limit: archiveObjectLimit });
      } catch (error) {
        download.suspend();
        throw error;
      }
      if (!found) {
        download.discard();
        throw new AtomicError('not-found', `object ${checksum}.filez is not on the server: ${printableUrl(url)}`, {
          hint: 'the repository there is incomplete; nothing was changed here',
        });
      }
      try {
        await transaction.importFilez(guarded(download.read(), this.#options.signal), checksum);
        return;
      } catch (error) {
        if (!(error instanceof AtomicError && error.code === 'corrupt')) throw error;
        if (download.spliced) continue;
        throw corrupt(`object ${checksum}.filez from ${printableUrl(url)} is corrupt: ${error.message}`, error);
      } finally {
        download.discard();
      }
    }
  }

  [Symbol.dispose](): void {
    this.#fetcher[Symbol.dispose]();
    this.#partials[Symbol.dispose]();
  }
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

async function* guarded(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    if (signal?.aborted) throw abortError(signal);
    yield chunk;
  }
}

/**
 * `tmp/fetch/`: partial downloads by checksum. One pull at a time owns it and may continue and leave partials there;
 * another that runs beside it uses names of its own and leaves nothing.
 */
class PartialFolder implements Disposable {
  readonly #dir: string;
  readonly #lock: FileLock | null;
  readonly #existing = new Set<string>();
  #serial = 0;

  constructor(repo: Repo) {
    this.#dir = join(repo.path, 'tmp', 'fetch');
    mkdirSync(this.#dir, { recursive: true });
    this.#lock = FileLock.tryAcquire(`${this.#dir}/lock`, 'exclusive');
    if (this.#lock === null) return;
    // Stock tools clean tmp/ by age: the lock file must not look old while it is held.
    utimesSync(`${this.#dir}/lock`, new Date(), new Date());
    const expiry = Number(repo.config.get('core', 'tmp-expiry-secs') ?? 86_400);
    for (const name of readdirSync(this.#dir)) {
      if (name === 'lock') continue;
      const path = join(this.#dir, name);
      const age = Date.now() / 1000 - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) / 1000;
      if (age > expiry) rmSync(path, { force: true });
      else if (name.endsWith(partialSuffix)) this.#existing.add(name);
    }
  }

  open(checksum: Checksum, spillBytes: number | undefined): Download {
    const owned = this.#lock !== null;
    const shared = `${checksum}${partialSuffix}`;
    return new Download({
      dir: this.#dir,
      name: owned ? shared : `${checksum}-${process.pid}-${this.#serial++}${partialSuffix}`,
      keep: owned,
      existing: this.#existing.delete(shared),
      spillBytes,
    });
  }

  [Symbol.dispose](): void {
    this.#lock?.[Symbol.dispose]();
  }
}
