import type { Descriptor, ImageSource, SourceManifest } from '@atomic/oci';
import { verified } from '@atomic/oci';
import { AtomicError, type Checksum, corrupt, type Repo } from '@atomic/ostree';
import { BlobStore } from '../blobs/blob-store.ts';
import { layerRef } from './names.ts';
import { configBytes, manifestBytes, type StoredImage, storedManifest } from './stored-image.ts';
import { readSplit } from './tar-split.ts';

/** The uncompressed archive of a stored layer, as it came. Throws `not-found`, `corrupt`. */
export async function* layerArchive(repo: Repo, layer: Checksum): AsyncGenerator<Uint8Array> {
  const split = repo.loadDirTree(repo.loadCommit(layer).tree).files.find(({ name }) => name === 'split');
  if (split === undefined) throw corrupt(`${layer} is no layer of an image`);
  for await (const record of readSplit(repo.loadFile(split.checksum).open())) {
    if (record.kind === 'raw') yield record.bytes;
    else {
      const file = repo.loadFile(record.checksum);
      if (file.size !== record.size) throw corrupt(`the content of a layer, ${record.checksum}, has another size`);
      if (file.size <= WHOLE) yield file.readContent();
      else yield* file.open();
    }
  }
}

const WHOLE = 1 << 20;

/** An image in the store, to be read like any other. */
export class StoredSource implements ImageSource {
  readonly name: string;
  readonly image: StoredImage;
  readonly #repo: Repo;
  readonly #blobs: BlobStore;

  constructor(repo: Repo, image: StoredImage) {
    this.#repo = repo;
    this.image = image;
    this.name = image.name;
    this.#blobs = new BlobStore(repo);
  }

  async manifest(): Promise<SourceManifest> {
    const { digest, mediaType } = this.image;
    return { bytes: manifestBytes(this.#repo, this.image), digest, mediaType };
  }

  /** Whether a blob can be had with the digest it has: not so a compressed layer that was not kept as it came. */
  available({ digest }: Descriptor): boolean {
    if (digest === this.image.id || this.image.diffIds.includes(digest)) return true;
    return this.#blobs.has(digest);
  }

  /** Throws `not-found` for what is not {@link available}. */
  blob(descriptor: Descriptor): AsyncIterable<Uint8Array> {
    return verified(descriptor, this.#open(descriptor));
  }

  async *#open({ digest }: Descriptor): AsyncGenerator<Uint8Array> {
    const { image } = this;
    if (digest === image.id) yield configBytes(this.#repo, image);
    else if (image.diffIds.includes(digest)) yield* this.archive(digest);
    else {
      const kept = this.#blobs.find(digest);
      if (kept === undefined)
        throw new AtomicError('not-found', `${image.name}: the compressed layer ${digest} was not kept`, {
          hint: 'pull it with --keep-blobs, or push with new digests',
        });
      for await (const chunk of this.#blobs.open(kept)) {
        const bytes: Uint8Array = chunk;
        yield bytes;
      }
    }
  }

  /** A layer's uncompressed archive, by its digest. Throws `not-found`. */
  async *archive(diffId: string): AsyncGenerator<Uint8Array> {
    const layer = this.#repo.readRef(layerRef(diffId));
    if (layer === null) throw new AtomicError('not-found', `${this.image.name}: the layer ${diffId} is not here`);
    yield* layerArchive(this.#repo, layer);
  }

  /** The uncompressed digest of a layer of the manifest; undefined when it has no such layer. */
  diffIdOf({ digest }: Descriptor): string | undefined {
    const at = storedManifest(this.#repo, this.image).layers.findIndex((layer) => layer.digest === digest);
    return at < 0 ? undefined : this.image.diffIds[at];
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
