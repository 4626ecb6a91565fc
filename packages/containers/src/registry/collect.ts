import { breather, type Progress, prune } from '@atomic/ostree';
import { MAX_STORED, parseManifest } from './manifest.ts';
import type { RegistryStore } from './registry-store.ts';
import type { Repository } from './repository.ts';

export interface CollectOptions {
  /** Milliseconds for which blobs and manifests that nothing names are kept: pushes that are under way. Default: an hour. */
  grace?: number | undefined;
  /** Milliseconds after which an upload nobody goes on with is given up. Default: a day. */
  uploadAge?: number | undefined;
  /** Also remove manifests that no tag, no index and no subject names. */
  untagged?: boolean | undefined;
  /** Only these repositories. */
  names?: readonly string[] | undefined;
  /** Leave the store's objects for another prune. */
  prune?: boolean | undefined;
  dryRun?: boolean | undefined;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

export interface Collected {
  repositories: number;
  manifests: number;
  blobs: number;
  uploads: number;
  /** Objects of the store that went, and the bytes of their files. */
  objects: number;
  bytes: number;
}

export const GRACE = 3_600_000;
export const UPLOAD_AGE = 86_400_000;

/**
 * Removes blobs that no manifest of their repository names, uploads that were given up, and then what the store keeps for
 * nobody. Safe while pushes run: what is younger than `grace`, or was asked for since, stays; a manifest is stored, or its
 * blobs are taken away, one after the other.
 */
export async function collectGarbage(store: RegistryStore, options: CollectOptions = {}): Promise<Collected> {
  const { signal, dryRun = false } = options;
  const grace = options.grace ?? GRACE;
  const result: Collected = { repositories: 0, manifests: 0, blobs: 0, uploads: 0, objects: 0, bytes: 0 };
  const names = options.names ?? [...store.names()];
  for (const [done, name] of names.entries()) {
    signal?.throwIfAborted();
    options.progress?.({ phase: 'look through repositories', done, total: names.length });
    result.repositories++;
    const repository = store.repository(name);
    if (options.untagged) result.manifests += await untagged(store, repository, { grace, dryRun, signal });
    result.blobs += await unused(store, repository, { grace, dryRun, signal });
  }
  const uploads = store.uploads.expire(options.uploadAge ?? UPLOAD_AGE, dryRun);
  result.uploads = uploads.removed;
  result.bytes = uploads.bytes;
  if (options.prune !== false) {
    const pruned = await prune(store.repo, { refsOnly: true, dryRun, signal, progress: options.progress });
    result.objects = pruned.deleted;
    result.bytes += pruned.freedBytes;
  }
  return result;
}

interface Step {
  grace: number;
  dryRun: boolean;
  signal: AbortSignal | undefined;
}

/** Looks without holding anybody up, then again at what there is to remove. */
async function unused(store: RegistryStore, repository: Repository, step: Step): Promise<number> {
  const { blobs } = repository;
  const old = (digest: string): boolean => (blobs.age(digest) ?? 0) >= step.grace;
  const first = await namedBlobs(repository, step.signal);
  const doomed = [...blobs.list()].filter((digest) => !first.has(digest) && old(digest));
  if (doomed.length === 0 || step.dryRun) return doomed.length;
  using _guard = await store.guard('exclusive', step.signal);
  const named = await namedBlobs(repository, step.signal);
  let removed = 0;
  for (const digest of doomed) if (!named.has(digest) && old(digest) && blobs.delete(digest)) removed++;
  return removed;
}

async function namedBlobs(repository: Repository, signal: AbortSignal | undefined): Promise<Set<string>> {
  const named = new Set<string>();
  const pause = breather(signal);
  for (const digest of repository.manifests.list()) {
    await pause();
    const { blobs = [], optional = [], manifests = [] } = read(repository, digest) ?? {};
    // An index may name what is not a manifest.
    for (const one of [...blobs, ...optional, ...manifests]) named.add(one.digest);
  }
  return named;
}

async function untagged(store: RegistryStore, repository: Repository, step: Step): Promise<number> {
  using _guard = await store.guard(step.dryRun ? 'shared' : 'exclusive', step.signal);
  const { manifests } = repository;
  const kept = new Set<string>();
  const keep = (digest: string): void => {
    if (kept.has(digest)) return;
    kept.add(digest);
    for (const child of read(repository, digest)?.manifests ?? []) keep(child.digest);
  };
  for (const tag of repository.tags()) {
    const tagged = repository.tagged(tag);
    if (tagged !== undefined) keep(tagged.digest);
  }
  const all = [...manifests.list()];
  for (const digest of all) if ((manifests.age(digest) ?? 0) < step.grace) keep(digest);
  // What is about something that stays, stays; and so what is about that.
  for (let before = -1; before !== kept.size; ) {
    before = kept.size;
    for (const subject of [...kept]) for (const digest of repository.referrers(subject)) keep(digest);
  }
  const doomed = all.filter((digest) => !kept.has(digest));
  if (!step.dryRun) for (const digest of doomed) repository.deleteManifest(digest, read(repository, digest)?.subject);
  return doomed.length;
}

function read({ manifests }: Repository, digest: string): ReturnType<typeof parseManifest> | undefined {
  const stored = manifests.find(digest);
  return stored === undefined ? undefined : parseManifest(manifests.read(stored, MAX_STORED), stored.mediaType);
}
