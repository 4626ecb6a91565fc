import { MAX_STORED, parseManifest } from './manifest.ts';
import type { Repository } from './repository.ts';

/** What a repository holds, for people. */
export interface RepositorySummary {
  name: string;
  /** With the bytes of what each names: manifest, configuration, layers; of an index all its images. */
  tags: { tag: string; digest: string; mediaType: string | undefined; size: number }[];
  /** Digests of the manifests that no tag names. */
  untagged: string[];
  blobs: number;
  /** Bytes of all blobs. */
  size: number;
}

export function summarize(repository: Repository): RepositorySummary {
  const { blobs, manifests, name } = repository;
  const sizes = [...blobs.list()].map((digest) => blobs.find(digest)?.size ?? 0);
  const tags = repository.tags().flatMap((tag) => {
    const found = repository.tagged(tag);
    if (found === undefined) return [];
    const { digest, mediaType } = found;
    return [{ tag, digest, mediaType, size: sizeOf(repository, digest, new Set()) }];
  });
  const named = new Set(tags.map(({ digest }) => digest));
  return {
    name,
    tags,
    untagged: [...manifests.list()].filter((digest) => !named.has(digest)),
    blobs: sizes.length,
    size: sizes.reduce((sum, size) => sum + size, 0),
  };
}

/** Each thing once. */
function sizeOf(repository: Repository, digest: string, counted: Set<string>): number {
  const found = repository.manifests.find(digest);
  if (found === undefined || counted.has(digest)) return 0;
  counted.add(digest);
  const parsed = parseManifest(repository.manifests.read(found, MAX_STORED), found.mediaType);
  let { size } = found;
  for (const blob of parsed.blobs) {
    if (!counted.has(blob.digest)) size += blob.size;
    counted.add(blob.digest);
  }
  for (const child of parsed.manifests) size += sizeOf(repository, child.digest, counted);
  return size;
}
