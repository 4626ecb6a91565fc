import { AtomicError } from '@atomic/ostree';
import type { StoredBlob } from '../blobs/blob-commit.ts';
import { type Sendable, sendable } from './answer-blob.ts';
import { Fetching } from './fetching.ts';
import { MAX_STORED, parseManifest } from './manifest.ts';
import { RegistryError } from './registry-error.ts';
import type { Repository } from './repository.ts';
import type { Upstream } from './upstream.ts';

/** A registry that did not answer is left alone for so long (ms). */
const SILENCE = 10_000;

/**
 * A pull-through cache: what another registry has is fetched once, when it is asked for, verified, and kept. What a tag
 * names is asked for anew each time; while the other registry cannot be reached, what it named last is served.
 */
export class Cache {
  readonly #upstream: Upstream;
  readonly #blobLimit: number;
  /** By repository and digest: a blob that many ask for at once comes once. */
  readonly #fetching = new Map<string, Fetching>();
  /** Until when (ms) what is kept is served without asking, as nobody answers. */
  #silentUntil = 0;

  constructor(upstream: Upstream, { blobLimit }: { blobLimit: number }) {
    this.#upstream = upstream;
    this.#blobLimit = blobLimit;
  }

  async manifest(
    repository: Repository,
    reference: string,
    digest: string | undefined,
    signal: AbortSignal,
  ): Promise<StoredBlob | undefined> {
    const { name, manifests } = repository;
    const kept = digest === undefined ? repository.tagged(reference) : manifests.find(digest);
    if (kept !== undefined && (digest !== undefined || Date.now() < this.#silentUntil)) return kept;
    try {
      const now = digest ?? (await this.#upstream.digestOf(name, reference, signal));
      if (now === undefined) return undefined;
      if (now === kept?.digest) return kept;
      const found = await this.#upstream.manifest(name, now, signal);
      if (found === undefined) return undefined;
      const parsed = parseManifest(found.bytes, found.mediaType);
      const tags = digest === undefined ? [reference] : [];
      return await repository.putManifest(found.bytes, digest ?? found.digest, parsed, tags, signal);
    } catch (error) {
      if (kept === undefined || signal.aborted) throw unreachable(error);
      this.#silentUntil = Date.now() + SILENCE;
      return kept;
    }
  }

  /** A blob that a kept manifest names. `whole`: from its first byte, so that it can be sent while it arrives. */
  async blob(
    repository: Repository,
    digest: string,
    { signal, whole }: { signal: AbortSignal; whole: boolean },
  ): Promise<Sendable | undefined> {
    const key = `${repository.name}@${digest}`;
    let fetching = this.#fetching.get(key);
    if (fetching === undefined) {
      const size = sizeOf(repository, digest);
      if (size === undefined) return undefined;
      // It is fetched to its end even if who asked first goes away: others wait, or ask again.
      const source = this.#upstream.blob(repository.name, { digest, size });
      fetching = new Fetching(repository.blobs, digest, { size, source }, this.#blobLimit);
      this.#fetching.set(key, fetching);
      const done = () => this.#fetching.delete(key);
      fetching.stored.then(done, done);
    }
    try {
      // What is not there at all can still be told; later only the connection can be cut.
      await fetching.begun;
      if (!whole) return sendable(repository, await fetching.stored);
    } catch (error) {
      if (error instanceof AtomicError && error.code === 'not-found') return undefined;
      throw unreachable(error);
    }
    const follow = fetching;
    return { digest, size: follow.size, mediaType: 'application/octet-stream', open: () => follow.follow(signal) };
  }

  async tags(name: string, signal: AbortSignal): Promise<string[] | undefined> {
    try {
      return await this.#upstream.tags(name, signal);
    } catch {
      return undefined; // those that are kept
    }
  }
}

/** How large a blob is to be, by the manifests that name it; undefined when none does. */
function sizeOf({ manifests }: Repository, digest: string): number | undefined {
  for (const one of manifests.list()) {
    const stored = manifests.find(one);
    if (stored === undefined) continue;
    const { blobs } = parseManifest(manifests.read(stored, MAX_STORED), stored.mediaType);
    const found = blobs.find((blob) => blob.digest === digest);
    if (found !== undefined) return found.size;
  }
  return undefined;
}

function unreachable(cause: unknown): RegistryError {
  if (cause instanceof AtomicError && cause.code === 'permission')
    return new RegistryError(403, 'DENIED', `the upstream registry: ${cause.message}`, { cause });
  const why = cause instanceof Error ? cause.message : String(cause);
  return new RegistryError(502, 'UNSUPPORTED', `the upstream registry cannot be asked: ${why}`, { cause });
}
