import { type CollectionRef, validateCollectionId, validateRefName } from '@atomic/ostree';
import { UsageError } from './options.ts';

/** Reads `COLLECTION-ID REF` pairs; complains as stock does. */
export function collectionRefs(words: readonly string[]): CollectionRef[] {
  if (words.length < 2) throw new UsageError('At least one COLLECTION-ID REF pair must be specified', true);
  if (words.length % 2 === 1) throw new UsageError('Only complete COLLECTION-ID REF pairs may be specified', true);
  const refs: CollectionRef[] = [];
  for (let i = 0; i < words.length; i += 2) {
    refs.push({ collectionId: validateCollectionId(words[i] ?? ''), ref: validateRefName(words[i + 1] ?? '') });
  }
  return refs;
}
