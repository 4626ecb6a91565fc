import { statfsSync } from 'node:fs';
import { leanPartName } from '../delta/lean-format.ts';
import { type DeltaName, deltaIndexPath, deltaName, deltaPath, parseDeltaName } from '../delta/names.ts';
import { PartAppliers } from '../delta/part-appliers.ts';
import {
  type DeltaObjectType,
  type DeltaPartHeader,
  type DeltaSuperblock,
  parseSuperblock,
} from '../delta/superblock.ts';
import { AtomicError, corrupt } from '../error.ts';
import { formatSize } from '../format-size.ts';
import { decodeVardict } from '../gvariant/vardict.ts';
import { type Checksum, checksumBytes } from '../objects/checksum.ts';
import type { Repo } from '../repo/repo.ts';
import type { Transaction } from '../repo/transaction.ts';
import type { HttpSource } from './http-source.ts';
import { deltaDigests } from './remote-summary.ts';
import { DeltaCounts, type TransferCounts } from './result.ts';
import type { Wanted } from './transfer-options.ts';

export interface DeltaOptions {
  /** Superblock digests by delta name, from the summary. */
  known: ReadonlyMap<string, Buffer>;
  /** The remote lists deltas in files of their own. */
  indexed: boolean;
  require: boolean;
  dryRun: boolean;
  /** The summary is signed, so only deltas it (or a list in it) names are to be trusted. */
  summarySigned: boolean;
  signal: AbortSignal;
}

export interface PlannedPart {
  index: number;
  header: DeltaPartHeader;
  inline: Buffer | null;
}

/** Parts under way at a time, as {@link PartAppliers} has it. */
const maxParts = 2;
const maxPartVersion = 0;

/** Finds static deltas at a remote and brings commits by them (libostree's ostree-repo-pull.c). */
export class DeltaTransfer {
  readonly counts = new DeltaCounts();
  readonly dryRun: boolean;
  readonly #repo: Repo;
  readonly #source: HttpSource;
  readonly #options: DeltaOptions;
  readonly #known: Map<string, Buffer>;
  readonly #totals: TransferCounts;
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  /** While parts are under way, or wait to be. */
  #appliers: PartAppliers | null = null;
  #bytes = 0;

  constructor(repo: Repo, source: HttpSource, options: DeltaOptions, totals: TransferCounts) {
    this.#repo = repo;
    this.#source = source;
    this.#options = options;
    this.#known = new Map(options.known);
    this.#totals = totals;
    this.dryRun = options.dryRun;
  }

  #none(what: string | null, to: Checksum): null {
    if (!this.#options.require) return null;
    throw new AtomicError('not-found', `Static deltas required, but none found for ${what ?? '(null)'} to ${to}`, {
      hint: 'make one on the server with: ostree static-delta generate',
    });
  }

  /** The delta to use for a commit, or null for none. Throws `not-found` where one is required. */
  async find(to: Checksum, wanted: readonly Wanted[]): Promise<DeltaName | null> {
    const ref = wanted.find(({ branch }) => branch !== null) ?? null;
    const from = ref?.previous ?? null;
    if (this.#options.indexed) await this.#readIndex(to);
    if (!this.#options.indexed && this.#known.size === 0) {
      // Nobody lists deltas here: the one from where the branch is now may be there all the same.
      if (from === to) return null;
      const usable = from !== null && this.#repo.commitState(from) === 'complete';
      return { from: usable ? from : null, to };
    }
    const best = this.#newest(to);
    if (best !== null) return { from: best, to };
    // A delta from nothing is larger than the few objects that changed since the commit at hand.
    if (from === null && this.#known.has(to)) return { from: null, to };
    return this.#known.has(to) ? null : this.#none(ref?.branch ?? '', to);
  }

  /** The newest commit here that a delta leads from. */
  #newest(to: Checksum): Checksum | null {
    let best: { from: Checksum; timestamp: number } | null = null;
    for (const name of this.#known.keys()) {
      const delta = parseDeltaName(name);
      if (delta.to !== to || delta.from === null || this.#repo.commitState(delta.from) !== 'complete') continue;
      const { timestamp } = this.#repo.loadCommit(delta.from);
      if (best === null || timestamp > best.timestamp) best = { from: delta.from, timestamp };
    }
    return best?.from ?? null;
  }

  async #readIndex(to: Checksum): Promise<void> {
    const bytes = await this.#source.file(deltaIndexPath(to));
    this.#totals.fetchedMetadata++;
    if (bytes === null) return;
    for (const [name, digest] of deltaDigests(decodeVardict(bytes))) this.#known.set(name, digest);
  }

  /** A delta's superblock, checked against what the summary says of it; null when there is none. */
  async fetchSuperblock(name: DeltaName, wanted: readonly Wanted[]): Promise<DeltaSuperblock | null> {
    const bytes = await this.#source.file(deltaPath(name, 'superblock'));
    this.#totals.fetchedMetadata++;
    if (bytes === null) return this.#none(name.from, name.to);
    const digest = this.#known.get(deltaName(name));
    if (digest === undefined && this.#options.summarySigned) {
      throw new AtomicError(
        'invalid',
        'GPG verification enabled, but no summary signatures found (use gpg-verify-summary=false in remote config to disable)',
      );
    }
    if (digest !== undefined && digest.toString('hex') !== checksumBytes(bytes)) {
      throw corrupt(`Invalid checksum for static delta ${deltaName(name)}`);
    }
    const delta = parseSuperblock(bytes);
    const bound = wanted[0]?.checksum ?? name.to;
    if (delta.to !== name.to || delta.from !== name.from || delta.to !== bound) {
      throw corrupt(`the static delta ${deltaName(name)} leads elsewhere: it says ${deltaName(delta)}`);
    }
    const commit = checksumBytes(delta.commit);
    if (commit !== delta.to) {
      throw corrupt(`Corrupted commit object; checksum expected='${delta.to}' actual='${commit}'`);
    }
    return delta;
  }

  /** The parts that bring something new; counts everything on the way. Throws `no-space`, `unsupported`. */
  plan(delta: DeltaSuperblock, have: (type: DeltaObjectType, checksum: Checksum) => boolean): PlannedPart[] {
    const { counts } = this;
    for (const { type, checksum, size, usize } of delta.fallbacks) {
      counts.totalFallbacks++;
      counts.totalSize += size;
      counts.totalUnpacked += usize;
      if (have(type, checksum)) counts.fetchedSize += size;
    }
    counts.totalParts += delta.parts.length;
    const parts: PlannedPart[] = [];
    for (const [index, header] of delta.parts.entries()) {
      if (header.version > maxPartVersion) {
        throw new AtomicError('unsupported', `Delta part has too new version ${header.version}`);
      }
      counts.totalSize += header.size;
      counts.totalUnpacked += header.usize;
      if (header.objects.every(({ type, checksum }) => have(type, checksum))) {
        counts.fetchedSize += header.size;
        counts.fetchedParts++;
      } else {
        parts.push({ index, header, inline: delta.inlinePart(index) });
        this.#bytes += header.usize;
      }
    }
    const { bsize, bfree } = statfsSync(this.#repo.path);
    if (counts.totalUnpacked / bsize > bfree) {
      const [required, available] = [formatSize(counts.totalUnpacked), formatSize(bsize * bfree)];
      throw new AtomicError('no-space', `Delta requires ${required} free space, but only ${available} available`);
    }
    return parts;
  }

  /** Fetches one part and writes what it makes. */
  async apply(transaction: Transaction, delta: DeltaSuperblock, part: PlannedPart): Promise<void> {
    await this.#enter();
    try {
      const { header, inline, index } = part;
      this.#appliers ??= new PartAppliers(transaction, this.#bytes, this.#options.signal);
      const appliers = this.#appliers;
      if (inline !== null) {
        this.counts.contentBytes += await appliers.apply({ header, file: inline, lean: null, verify: false });
      } else if (!(await this.#applyLean(appliers, delta, part))) {
        await this.#source.large(deltaPath(delta, String(index)), header.size, async (file) => {
          this.counts.contentBytes += await appliers.apply({ header, file, lean: null, verify: true });
        });
      }
      this.counts.fetchedParts++;
      this.counts.fetchedSize += header.size;
    } finally {
      const next = this.#waiting.shift();
      // Whoever waits takes the place, so that nobody comes between.
      if (next === undefined) this.#running--;
      else next();
      if (this.#running === 0) await this.#endAppliers();
    }
  }

  /** Brings the smaller part that stands beside a part, if there is one that can be used; else false. */
  async #applyLean(appliers: PartAppliers, delta: DeltaSuperblock, { index, header }: PlannedPart): Promise<boolean> {
    const lean = delta.lean?.[index];
    if (lean === undefined || lean.size > header.size) return false;
    try {
      await this.#source.large(deltaPath(delta, leanPartName(index)), lean.size, async (file) => {
        this.counts.contentBytes += await appliers.apply({ header, file, lean, verify: true });
      });
      return true;
    } catch (error) {
      // A mirror that left it out, or a kernel packed by another liblz4: the part itself makes the same objects.
      if (error instanceof AtomicError && ['not-found', 'corrupt', 'unsupported'].includes(error.code)) return false;
      throw error;
    }
  }

  async #endAppliers(): Promise<void> {
    const appliers = this.#appliers;
    this.#appliers = null;
    await appliers?.[Symbol.asyncDispose]();
  }

  async #enter(): Promise<void> {
    if (this.#running >= maxParts) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running++;
  }
}
