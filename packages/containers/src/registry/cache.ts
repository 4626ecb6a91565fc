import { AtomicError } from '@atomic/ostree';
import type { StoredBlob } from '../blobs/blob-commit.ts';
import { type Sendable, sendable } from './answer-blob.ts';
import { Fetching } from './fetching.ts';
import { parseManifest } from './manifest.ts';
import { RegistryError } from './registry-error.ts';
import type { Repository } from './repository.ts';
import type { FoundManifest, Source } from './source.ts';

/**
 * A pull-through cache: what another registry has is fetched once, when it is asked for, verified, and kept. Tags are asked for
 * anew each time; while the other registry cannot be reached, what they named last is served.
 */
export class Cache {
  readonly #upstream: Source;
  readonly #blobLimit: number;
  /** By repository and digest: a blob that many ask for at once comes once. */
  readonly #fetching = new Map<string, Fetching>();

  constructor(upstream: Source, { blobLimit }: { blobLimit: number }) {
    this.#upstream = upstream;
    this.#blobLimit = blobLimit;
  }

  async manifest(
    repository: Repository,
    reference: string,
    digest: string | undefined,
    signal: AbortSignal,
  ): Promise<StoredBlob | undefined> {
    const kept = digest === undefined ? repository.tagged(reference) : repository.manifests.find(digest);
    if (digest !== undefined && kept !== undefined) return kept;
    let found: FoundManifest | undefined;
    try {
      found = await this.#upstream.manifest(repository.name, reference, signal);
    } catch (error) {
      if (kept !== undefined && !signal.aborted) return kept;
      throw unreachable(error);
    }
    if (found === undefined) return undefined;
    if (kept?.digest === found.digest) return kept;
    const parsed = parseManifest(found.bytes, found.mediaType);
    return await repository.putManifest(
      found.bytes,
      digest ?? found.digest,
      parsed,
      digest === undefined ? [reference] : [],
      signal,
    );
  }

  /** `whole`: from its first byte, so that it can be sent while it arrives. */
  async blob(
    repository: Repository,
    digest: string,
    { signal, whole }: { signal: AbortSignal; whole: boolean },
  ): Promise<Sendable | undefined> {
    const key = `${repository.name}@${digest}`;
    let fetching = this.#fetching.get(key);
    if (fetching === undefined) {
      // It is fetched to its end even if who asked first goes away: others wait, or ask again.
      const aside = new AbortController();
      let found: Awaited<ReturnType<Source['blob']>>;
      try {
        found = await this.#upstream.blob(repository.name, digest, aside.signal);
      } catch (error) {
        throw unreachable(error);
      }
      if (found === undefined) return undefined;
      fetching = this.#fetching.get(key);
      if (fetching === undefined) {
        fetching = new Fetching(repository.blobs, digest, found, this.#blobLimit);
        this.#fetching.set(key, fetching);
        fetching.stored.then(
          () => this.#fetching.delete(key),
          () => this.#fetching.delete(key),
        );
      }
    }
    if (!whole) return sendable(repository, await fetching.stored);
    const { size } = fetching;
    const follow = fetching;
    return { digest, size, mediaType: 'application/octet-stream', open: () => follow.follow(signal) };
  }

  async tags(name: string, signal: AbortSignal): Promise<string[] | undefined> {
    try {
      return await this.#upstream.tags?.(name, signal);
    } catch {
      return undefined; // those that are kept
    }
  }
}

function unreachable(cause: unknown): RegistryError {
  if (cause instanceof AtomicError && cause.code === 'permission')
    return new RegistryError(403, 'DENIED', `the upstream registry: ${cause.message}`, { cause });
  const why = cause instanceof Error ? cause.message : String(cause);
  return new RegistryError(502, 'UNSUPPORTED', `the upstream registry cannot be asked: ${why}`, { cause });
}
