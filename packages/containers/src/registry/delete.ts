import { isRepository } from '@atomic/oci';
import { AtomicError } from '@atomic/ostree';
import { subjectOf } from './answer-manifest.ts';
import type { RegistryStore } from './registry-store.ts';

/**
 * Takes `NAME:TAG`, `NAME@DIGEST` or all of `NAME` out of a registry, whether it is being served or not; which tags and
 * manifests went. Disk space is free after the next garbage collection. Throws `not-found`.
 */
export async function deleteFromRegistry(
  store: RegistryStore,
  text: string,
  signal?: AbortSignal,
): Promise<{ name: string; removed: string[] }> {
  const [, name = '', tag, digest] = /^([^:@]+)(?::([^:@]+)|@(.+))?$/.exec(text) ?? [];
  if (!isRepository(name)) throw new AtomicError('invalid', `'${text}' is not NAME, NAME:TAG or NAME@DIGEST`);
  const repository = store.repository(name);
  using _guard = await store.guard('shared', signal);
  const gone: string[] = [];
  if (tag !== undefined) {
    if (repository.deleteTag(tag)) gone.push(tag);
  } else if (digest !== undefined) {
    if (repository.deleteManifest(digest, subjectOf(repository, digest))) gone.push(digest);
  } else {
    for (const one of repository.manifests.list())
      if (repository.deleteManifest(one, subjectOf(repository, one))) gone.push(one);
    for (const one of repository.blobs.list()) if (repository.blobs.delete(one)) gone.push(one);
  }
  if (gone.length > 0) return { name: text, removed: gone };
  throw new AtomicError('not-found', `the registry has no ${text}`, { hint: 'see: atomic registry list' });
}
