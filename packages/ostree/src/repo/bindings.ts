import { AtomicError } from '../error.ts';
import { type Metadata, metadataString } from '../gvariant/vardict.ts';

/** The refs a commit says it belongs to (`ostree.ref-binding`); undefined when it says nothing. */
export function refBinding(metadata: Metadata): string[] | undefined {
  const found = metadata.get('ostree.ref-binding');
  if (found?.type !== 'as' || !Array.isArray(found.value)) return undefined;
  return found.value.filter((ref) => typeof ref === 'string');
}

/** The collection a commit says it belongs to. */
export const collectionBinding = (metadata: Metadata): string | undefined =>
  metadataString(metadata, 'ostree.collection-binding');

/**
 * Checks that a commit may stand under a ref: a ref binding, where there is one, must name it, and with a collection ID
 * both bindings must be there and agree. Throws `invalid`. (libostree: _ostree_repo_verify_bindings.)
 */
export function verifyBindings(
  metadata: Metadata,
  wanted: { collectionId?: string | undefined; ref?: string | undefined },
): void {
  const { collectionId, ref } = wanted;
  const fail = (message: string) => new AtomicError('invalid', message);
  const refs = refBinding(metadata);
  if (refs === undefined) {
    if (collectionId === undefined) return;
    throw fail('Expected commit metadata to have ref binding information, found none');
  }
  if (ref !== undefined && !refs.includes(ref)) {
    const listed = refs.length === 0 ? 'no refs' : refs.map((name) => `‘${name}’`).join(', ');
    throw fail(`Commit has no requested ref ‘${ref}’ in ref binding metadata (${listed})`);
  }
  if (collectionId === undefined) return;
  const bound = collectionBinding(metadata);
  if (bound === undefined) {
    throw fail('Expected commit metadata to have collection ID binding information, found none');
  }
  if (bound !== collectionId) {
    throw fail(
      `Commit has collection ID ‘${bound}’ in collection binding metadata, while the remote it came from has collection ID ‘${collectionId}’`,
    );
  }
}
