import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { AtomicError } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import { MAX_METADATA_SIZE } from '../objects/type.ts';
import { KeyFile } from '../repo/keyfile.ts';
import type { RefTarget } from '../repo/refs.ts';
import type { Repo } from '../repo/repo.ts';
import { replaceFile } from '../repo/write-file.ts';
import type { RemoteVerifier } from '../sign/remote-verifier.ts';
import { abortError } from './abort.ts';
import { type ConnectOptions, localRepository, parallelRequests } from './connect.ts';
import type { DeltaTransfer } from './delta-transfer.ts';
import type { Endpoint } from './endpoint.ts';
import type { Fetcher } from './http/fetcher.ts';
import { joinUrl, printableUrl } from './http/url.ts';
import { LocalSource } from './local-source.ts';
import { type OfferedRef, RemoteSummary } from './remote-summary.ts';
import { parseRefContents, type Requested, type RequestedRef } from './requested.ts';
import { DeltaCounts, type PullResult, TransferCounts } from './result.ts';
import type { ObjectSource } from './source.ts';
import { Subpaths } from './subpaths.ts';
import { noteVersion, SummaryCache } from './summary-cache.ts';
import { type FetchedSummary, loadSummary } from './summary-fetch.ts';
import { Transfer } from './transfer.ts';
import type { TransferOptions, Wanted } from './transfer-options.ts';

/** What may be chosen about any pull. */
export interface CommonPullOptions extends TransferOptions, ConnectOptions {
  /** Parts of the trees to bring, each beginning with a slash; the commits stay partial. None: everything. */
  subpaths?: readonly string[] | undefined;
  /** Fail where no static delta leads to what is asked for; or look for none. */
  requireStaticDeltas?: boolean | undefined;
  disableStaticDeltas?: boolean | undefined;
  /** Verify content of repositories on this machine too; what comes by HTTP is verified in any case. */
  untrusted?: boolean | undefined;
}

/** One pull, its source known by name and address. */
export interface PullJob {
  /** The remote whose refs these become; null for branches of this repository. */
  remote: string | null;
  /** What its summary is cached as; null for repositories on this machine. */
  cacheName: string | null;
  requested: Requested;
  mirror: boolean;
  /** The collection a remote's configuration says it is. */
  collectionId: string | undefined;
  /** Checks made of signatures; null for none. */
  verifier: RemoteVerifier | null;
  /** Remotes whose keys count for a ref of another collection. */
  keyrings?: ReadonlyMap<string, string> | undefined;
  dryRun?: boolean | undefined;
  /** A mirror's copies are taken as they are, unverified. */
  httpTrusted?: boolean | undefined;
  signal: AbortSignal;
}

/** What the server's `config` says, where its summary says too little. */
interface RemoteFacts {
  mode: string | undefined;
  tombstones: boolean;
  indexedDeltas: boolean;
}

const maxConfigBytes = 1024 * 1024;
const maxRefBytes = 64 * 1024;

/** Brings what a job asks for from an endpoint; see `pull` and `pullLocal`. */
export async function runPull(
  repo: Repo,
  fetcher: Fetcher,
  endpoint: Endpoint,
  job: PullJob,
  options: CommonPullOptions,
): Promise<PullResult> {
  const started = performance.now();
  const require = options.requireStaticDeltas === true;
  // Deltas are needed rarely from a repository at hand; required, it is read as a server's.
  const local = require ? null : localRepository(endpoint);
  if (require && repo.archive) throw new AtomicError('invalid', "Can't use static deltas in an archive repo");
  const wantDeltas =
    local === null && !repo.archive && options.disableStaticDeltas !== true && options.commitMetadataOnly !== true;

  const session = new Session(repo, fetcher, endpoint, job, local);
  await session.readFacts(options, wantDeltas);
  if (require && !session.facts.indexedDeltas && (session.summary?.deltas.size ?? 0) === 0) {
    throw new AtomicError(
      'not-found',
      'Fetch configured to require static deltas, but no summary deltas or delta index found',
    );
  }
  const wanted = await session.resolve();
  const subpaths = new Subpaths(options.subpaths ?? []);
  const counts = new TransferCounts();
  const trustNetwork = job.httpTrusted === true && options.untrusted !== true && options.bareUserOnlyFiles !== true;
  let deltas: DeltaTransfer | null = null;
  let source: ObjectSource;
  if (local !== null) source = new LocalSource(local, { trusted: options.untrusted !== true });
  else {
    const { HttpSource } = await import('./http-source.ts');
    const http = new HttpSource(repo, fetcher, endpoint, {
      parallel: parallelRequests(options),
      spillBytes: options.spillBytes,
    });
    source = http;
    if (wantDeltas) {
      const { DeltaTransfer: Deltas } = await import('./delta-transfer.ts');
      deltas = new Deltas(repo, http, session.deltaOptions(require), counts);
    }
  }
  using owned = source;
  const signal = job.signal;
  await using transaction = await repo.begin(options);
  const transfer = new Transfer(repo, transaction, options, {
    source: owned,
    collectionId: local === null ? job.collectionId : local.config.get('core', 'collection-id') || undefined,
    subpaths,
    trustCaches: job.httpTrusted === true && options.untrusted !== true,
    trustNetwork: trustNetwork && job.mirror && repo.archive,
    tombstones: session.facts.tombstones,
    verifyCommit: (checksum, bytes, detached, group) => session.verifyCommit(checksum, bytes, detached, group),
    deltas,
    counts,
    signal,
  });
  await transfer.run(wanted);
  if (signal.aborted) throw abortError(signal);
  let written = transaction.stats;
  if (job.dryRun !== true) {
    for (const { target, checksum } of wanted) {
      if (target !== null && repo.readRef(target) !== checksum) transaction.setRef(target, checksum);
    }
    options.progress?.({ phase: 'write', message: 'making objects durable' });
    written = await transaction.commit();
    session.mirrorSummary();
  }
  return {
    commits: new Map(wanted.map(({ name, checksum }) => [name, checksum])),
    objects: written.metadataWritten + written.contentWritten,
    metadata: written.metadataWritten,
    content: written.contentWritten,
    // As stock counts: what delta parts make is not content that was written, except where it is packed again.
    contentBytes: written.contentBytes - (repo.archive ? 0 : (deltas?.counts.contentBytes ?? 0)),
    seconds: (performance.now() - started) / 1000,
    local: local !== null,
    counts,
    deltas: deltas?.counts ?? new DeltaCounts(),
    ...fetcher.stats,
  };
}

/** What one pull learns about its remote before it fetches objects. */
class Session {
  summary: RemoteSummary | null = null;
  facts: RemoteFacts = { mode: undefined, tombstones: false, indexedDeltas: false };
  readonly #repo: Repo;
  readonly #fetcher: Fetcher;
  readonly #endpoint: Endpoint;
  readonly #job: PullJob;
  readonly #local: Repo | null;
  readonly #verified = new Set<Checksum>();
  #fetched: FetchedSummary | null = null;

  constructor(repo: Repo, fetcher: Fetcher, endpoint: Endpoint, job: PullJob, local: Repo | null) {
    this.#repo = repo;
    this.#fetcher = fetcher;
    this.#endpoint = endpoint;
    this.#job = job;
    this.#local = local;
  }

  /** Reads the summary where it is needed, and the config where there is no summary or it says too little. */
  async readFacts(options: CommonPullOptions, wantDeltas: boolean): Promise<void> {
    const { requested } = this.#job;
    const needed = requested.all || requested.refs.some(({ commit }) => commit === null);
    let config: RemoteFacts | null = null;
    if (!needed && wantDeltas) config = await this.#readConfig();
    if (needed || (wantDeltas && config?.indexedDeltas !== true)) {
      await this.#readSummary(options);
      if (requested.all && this.summary === null) {
        throw new AtomicError(
          'not-found',
          'Fetching all refs was requested in mirror mode, but remote repository does not have a summary',
          { hint: 'on the server, run: ostree summary --update' },
        );
      }
    }
    const { summary } = this;
    const said = summary?.mode !== undefined && summary.tombstones !== undefined;
    if (!said && config === null && this.#local === null) config = await this.#readConfig();
    this.facts = {
      mode: summary?.mode ?? config?.mode,
      tombstones: summary?.tombstones ?? config?.tombstones ?? this.#localTombstones(),
      indexedDeltas: summary?.indexedDeltas ?? config?.indexedDeltas ?? false,
    };
    const { mode } = this.facts;
    if (this.#local === null && mode !== undefined && mode !== 'archive' && mode !== 'archive-z2') {
      throw new AtomicError('unsupported', `Can't pull from archives with mode "${mode}"`, {
        hint: 'serve a repository of mode archive, made with: ostree init --mode=archive',
      });
    }
  }

  #localTombstones(): boolean {
    return this.#local?.config.getBoolean('core', 'tombstone-commits') ?? false;
  }

  async #readConfig(): Promise<RemoteFacts | null> {
    const answer = await this.#fetcher.get(this.#endpoint.meta, ['config'], { limit: maxConfigBytes });
    if (answer === null) return null;
    const config = KeyFile.parse(answer.bytes.toString(), `config of ${printableUrl(answer.url)}`);
    return {
      mode: config.get('core', 'mode') ?? 'bare',
      tombstones: config.getBoolean('core', 'tombstone-commits') ?? false,
      indexedDeltas: config.getBoolean('core', 'indexed-deltas') ?? false,
    };
  }

  async #readSummary(options: CommonPullOptions): Promise<void> {
    const { cacheName, verifier } = this.#job;
    const folder = options.cacheDir === undefined ? join(this.#repo.path, 'tmp/cache') : options.cacheDir;
    const cached = cacheName !== null && this.#local === null && folder !== null;
    this.#fetched = await loadSummary(this.#repo, this.#fetcher, this.#endpoint, {
      name: cacheName ?? '',
      cache: cached ? new SummaryCache(folder, { sync: this.#repo.fsync }) : null,
      verify: async (summary, signatures) => {
        await verifier?.verifySummary(summary, signatures);
      },
    });
    const { summary } = this.#fetched;
    if (summary !== null) this.summary = new RemoteSummary(summary);
  }

  deltaOptions(require: boolean) {
    return {
      known: this.summary?.deltas ?? new Map<string, Buffer>(),
      indexed: this.facts.indexedDeltas,
      require,
      dryRun: this.#job.dryRun === true,
      summarySigned: this.#job.verifier?.asked.gpgSummary === true,
      signal: this.#job.signal,
    };
  }

  /** Finds out which commits are meant. */
  async resolve(): Promise<Wanted[]> {
    const { requested } = this.#job;
    const listed = requested.all ? (this.summary?.refs() ?? []) : [];
    const refs: RequestedRef[] = [
      ...requested.refs,
      ...listed.map(({ collectionId, ref }) => ({ name: ref, collectionId, ref, commit: null })),
    ];
    const branches = await Promise.all(refs.map((ref) => this.#resolveRef(ref)));
    const commits = requested.commits.map(
      (checksum): Wanted => ({
        name: checksum,
        checksum,
        branch: null,
        collectionId: undefined,
        target: null,
        previous: null,
        size: undefined,
      }),
    );
    return [...branches, ...commits];
  }

  async #resolveRef(asked: RequestedRef): Promise<Wanted> {
    const { name, ref } = asked;
    let { collectionId } = asked;
    let checksum = asked.commit;
    let size: number | undefined;
    if (checksum === null && this.summary !== null) {
      const found = this.summary.lookup(asked);
      ({ commit: checksum, collectionId } = found);
      // A summary of another byte order has sizes that make no sense.
      if (found.size > 0n && found.size <= BigInt(MAX_METADATA_SIZE)) size = Number(found.size);
    }
    checksum ??= this.#local === null ? await this.#fetchRef(asked) : readLocalRef(this.#local, asked);
    const target = this.#target({ collectionId, ref });
    const { remote, mirror } = this.#job;
    const here = mirror
      ? this.#repo.readRef(target)
      : this.#repo.tryResolveRev(remote === null ? ref : `${remote}:${ref}`);
    return { name, checksum, branch: ref, collectionId, target, previous: here, size };
  }

  #target({ collectionId, ref }: OfferedRef): RefTarget {
    const { remote, mirror } = this.#job;
    if (mirror) return collectionId === undefined ? ref : { collectionId, ref };
    return remote === null ? ref : `${remote}:${ref}`;
  }

  async #fetchRef(asked: OfferedRef): Promise<Checksum> {
    const { collectionId, ref } = asked;
    const own = collectionId === undefined || collectionId === this.#job.collectionId;
    const path = ['refs', ...(own ? ['heads'] : ['mirrors', collectionId]), ...ref.split('/')];
    const answer = await this.#fetcher.get(this.#endpoint.meta, path, { limit: maxRefBytes });
    if (answer !== null) return parseRefContents(answer.bytes, asked);
    const [first] = this.#endpoint.meta;
    const url = first === undefined ? path.join('/') : printableUrl(joinUrl(first, path));
    throw new AtomicError('not-found', `While fetching ${url}: Server returned HTTP 404`, {
      hint: `there is no branch '${ref}', or no repository at this address`,
    });
  }

  async verifyCommit(
    checksum: Checksum,
    bytes: Buffer,
    detached: Buffer | null,
    wanted: readonly Wanted[],
  ): Promise<void> {
    const { verifier, keyrings } = this.#job;
    if (verifier?.commits !== true || this.#verified.has(checksum)) return;
    const keyed = wanted.find(({ collectionId, branch }) => keyrings?.has(`${collectionId}\n${branch}`));
    const keyringRemote = keyed && keyrings?.get(`${keyed.collectionId}\n${keyed.branch}`);
    await verifier.verifyCommit(checksum, bytes, detached, { keyringRemote });
    this.#verified.add(checksum);
  }

  /** A mirror of everything has its original's summary, signatures and all. */
  mirrorSummary(): void {
    const { mirror, requested } = this.#job;
    if (!mirror || !requested.all || this.#fetched === null) return;
    const { summary, signatures, summaryVersion, signaturesVersion } = this.#fetched;
    if (summary === null) return;
    const sync = this.#repo.fsync;
    const path = join(this.#repo.path, 'summary');
    // Signatures of another summary would make this one look forged.
    rmSync(`${path}.sig`, { force: true });
    replaceFile(path, summary, { sync });
    noteVersion(path, summaryVersion);
    if (signatures === null) return;
    replaceFile(`${path}.sig`, signatures, { sync });
    noteVersion(`${path}.sig`, signaturesVersion);
  }
}

function readLocalRef(repo: Repo, { collectionId, ref }: OfferedRef): Checksum {
  if (collectionId === undefined) return repo.resolveRev(ref);
  const found = repo.readRef({ collectionId, ref });
  if (found !== null) return found;
  throw new AtomicError('not-found', `Collection–ref (${collectionId}, ${ref}) not found`);
}
