import { readRefFolder } from '@atomic/ostree';
import type { StoredBlob } from '../blobs/blob-commit.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import { parseDigest } from '../blobs/digest.ts';
import type { ParsedManifest } from './manifest.ts';

/** One name of a registry, with what belongs to it. Names' own components never begin with `_`. */
export class Repository {
  readonly name: string;
  readonly blobs: BlobStore;
  readonly manifests: BlobStore;
  readonly #prefix: string;

  constructor(base: BlobStore, root: string, name: string) {
    this.name = name;
    this.#prefix = `${root}/${name}`;
    this.blobs = base.under(`${this.#prefix}/_blob`);
    this.manifests = base.under(`${this.#prefix}/_manifest`);
  }

  /** Whether anything was ever stored under this name, and is there still. */
  get exists(): boolean {
    return readRefFolder(this.manifests.repo, this.#prefix).some(({ name, folder }) => folder && name.startsWith('_'));
  }

  /** All tags, in the order of their bytes. */
  tags(): string[] {
    return readRefFolder(this.manifests.repo, `${this.#prefix}/_tag`)
      .filter(({ folder }) => !folder)
      .map(({ name }) => name);
  }

  /** The manifest a tag names; undefined when there is no such tag. */
  tagged(tag: string): StoredBlob | undefined {
    return this.manifests.at(this.#tagRef(tag));
  }

  /**
   * Stores a manifest, and lets the tags name it. First what lists it with its subject, then itself, then the tags: cut off
   * between them, no tag names what is not here.
   */
  putManifest(
    bytes: Uint8Array,
    digest: string,
    { mediaType, subject }: Pick<ParsedManifest, 'mediaType' | 'subject'>,
    tags: readonly string[],
    signal?: AbortSignal,
  ): Promise<StoredBlob> {
    const refs = [this.manifests.ref(digest), ...tags.map((tag) => this.#tagRef(tag))];
    if (subject !== undefined) refs.unshift(this.#referrerRef(subject, digest));
    return this.manifests.putBytes(bytes, digest, { mediaType, refs, signal });
  }

  /** Takes a tag away; false when there is none. */
  deleteTag(tag: string): boolean {
    if (this.tagged(tag) === undefined) return false;
    this.manifests.repo.setRef(this.#tagRef(tag), null);
    return true;
  }

  /** Takes a manifest away with the tags that name it; false when it is not here. `subject`: what it is about. */
  deleteManifest(digest: string, subject: string | undefined): boolean {
    const manifest = this.manifests.find(digest);
    if (manifest === undefined) return false;
    for (const tag of this.tags()) if (this.tagged(tag)?.digest === digest) this.deleteTag(tag);
    this.manifests.delete(digest);
    if (subject !== undefined) this.manifests.repo.setRef(this.#referrerRef(subject, digest), null);
    return true;
  }

  /** Digests of the manifests that are about `subject`, in order, after the one named `after`. */
  *referrers(subject: string, after?: string): Generator<string> {
    for (const { name } of readRefFolder(this.manifests.repo, this.#referrers(subject))) {
      const digest = name.replace('-', ':');
      if (after === undefined || digest > after) yield digest;
    }
  }

  #tagRef(tag: string): string {
    return `${this.#prefix}/_tag/${tag}`;
  }

  #referrers(subject: string): string {
    return `${this.#prefix}/_referrer/${refPart(subject)}`;
  }

  #referrerRef(subject: string, digest: string): string {
    return `${this.#referrers(subject)}/${refPart(digest)}`;
  }
}

/** A digest as one part of a ref's name; throws `invalid`. */
function refPart(digest: string): string {
  const { algorithm, hex } = parseDigest(digest);
  return `${algorithm}-${hex}`;
}
