import { formatImageName, type ImageSource } from '@atomic/oci';
import { AtomicError, prune, type Repo, type StoredFile } from '@atomic/ostree';
import { BLOB_REFS, BlobStore } from '../blobs/blob-store.ts';
import { type CheckoutImageOptions, checkoutImage } from './checkout-image.ts';
import { fileIn } from './folder.ts';
import { IMAGE_REFS, imageRef, LAYER_REFS, layerRef, nameOfRef, possibleNames, withTag } from './names.ts';
import { type PulledImage, type PullOptions, pullImage } from './pull-image.ts';
import { readStored, rootOf, type StoredImage, storedManifest } from './stored-image.ts';
import { StoredSource } from './stored-source.ts';

/**
 * Images in an ostree repository: each name a ref to a commit that has the image's tree, its manifest and its
 * configuration as they came; each layer a commit of its own, from which the layer's archive comes back bit for bit.
 * Files are shared with whatever else is in the repository, the machine's own trees included.
 */
export class ImageStore {
  readonly repo: Repo;

  constructor(repo: Repo) {
    this.repo = repo;
  }

  /**
   * Store an image under a name, which it takes from the one that had it. Layers that are here are not read. Throws
   * `corrupt`, `invalid` (what no image may have), `no-space`; layers that came whole stay for the next attempt until
   * {@link prune}, of others nothing does.
   */
  async pull(source: ImageSource, options: PullOptions): Promise<PulledImage> {
    return await pullImage(this.repo, source, { ...options, name: formatImageName(withTag(options.name)) });
  }

  /** All images, by name. */
  list(): StoredImage[] {
    const found: StoredImage[] = [];
    for (const [ref, commit] of this.repo.listRefs({ prefix: IMAGE_REFS })) {
      const name = nameOfRef(ref);
      const image = name === undefined ? undefined : readStored(this.repo, commit, name);
      if (image !== undefined) found.push(image);
    }
    return found;
  }

  /** By a name (short ones mean localhost's or the hub's), or by the beginning of an ID or digest, of at least 6 digits. */
  find(nameOrId: string): StoredImage | undefined {
    const hex = /^(?:sha256:)?([0-9a-f]{6,64})$/.exec(nameOrId)?.[1];
    for (const name of hex?.length === 64 ? [] : namesOf(nameOrId)) {
      const commit = this.repo.readRef(imageRef(name));
      const image = commit === null ? undefined : readStored(this.repo, commit, name);
      if (image !== undefined) return image;
    }
    if (hex === undefined) return undefined;
    const wanted = `sha256:${hex}`;
    const fitting = this.list().filter(({ id, digest }) => id.startsWith(wanted) || digest.startsWith(wanted));
    const ids = new Set(fitting.map(({ id }) => id));
    if (ids.size > 1)
      throw new AtomicError('invalid', `'${nameOrId}' is the beginning of ${ids.size} images' IDs`, {
        hint: 'give more of it, or a name',
      });
    return fitting[0];
  }

  /** As {@link find}; throws `not-found`. */
  need(nameOrId: string): StoredImage {
    const image = this.find(nameOrId);
    if (image !== undefined) return image;
    throw new AtomicError('not-found', `there is no image ${nameOrId} in ${this.repo.path}`, {
      hint: `fetch it with: atomic pull ${nameOrId}`,
    });
  }

  /** Give an image another name, which it takes from the one that had it. */
  tag(image: StoredImage, target: string): StoredImage {
    const name = formatImageName(withTag(target));
    this.repo.setRef(imageRef(name), image.commit);
    return { ...image, name };
  }

  /** Take a name away. Layers and files of an image without a name go with the next {@link prune}. */
  remove(image: StoredImage): void {
    this.repo.setRef(imageRef(image.name), null);
  }

  /**
   * Drop layers, and kept blobs, that no commit of an image needs any more, then every object of the repository that no
   * ref reaches. Bytes freed.
   */
  async prune(options: { signal?: AbortSignal | undefined } = {}): Promise<{ layers: string[]; freedBytes: number }> {
    const { repo } = this;
    const layers: string[] = [];
    {
      // A pull counts on layers that no image names yet until it has written its own.
      using _lock = await repo.lock('exclusive', options);
      const wanted = this.#wanted();
      for (const prefix of [LAYER_REFS, BLOB_REFS]) {
        for (const ref of repo.listRefs({ prefix }).keys()) {
          if (wanted.has(ref)) continue;
          repo.setRef(ref, null);
          if (prefix === LAYER_REFS) layers.push(ref.slice(LAYER_REFS.length + 1).replace('/', ':'));
        }
      }
    }
    const { freedBytes } = await prune(repo, { refsOnly: true, depth: 0, signal: options.signal });
    return { layers, freedBytes };
  }

  /** The refs of layers and blobs that images need. */
  #wanted(): Set<string> {
    const { repo } = this;
    const wanted = new Set<string>();
    const blobs = new BlobStore(repo);
    // Deployments keep images by refs of their own: every commit of an image counts, whatever its ref.
    for (const commit of new Set(repo.listRefs().values())) {
      const image = readStored(repo, commit, '');
      if (image === undefined) continue;
      for (const diffId of image.diffIds) wanted.add(layerRef(diffId));
      try {
        for (const { digest } of storedManifest(repo, image).layers) wanted.add(blobs.ref(digest));
      } catch (error) {
        // What it came as is of no use to an image whose manifest is damaged or not here.
        if (!(error instanceof AtomicError)) throw error;
      }
    }
    return wanted;
  }

  /**
   * Write the root of an image to a folder, which must not exist: hard links to the store's files unless `forceCopy`.
   * Files with privileges are copies that have them (only in a repository of mode bare, not for `user`): keep the
   * folder where only root gets to.
   */
  async checkout(image: StoredImage, folder: string, options: CheckoutImageOptions = {}): Promise<void> {
    await checkoutImage(this.repo, image, folder, options);
  }

  /** The image as a source: the same bytes, as far as they can be had again; see {@link StoredSource.available}. */
  open(image: StoredImage): StoredSource {
    return new StoredSource(this.repo, image);
  }

  /** A file in the image's root, links in it followed; undefined when there is none. */
  async readFile(image: StoredImage, path: string): Promise<Buffer | undefined> {
    return this.fileAt(image, path)?.readContent();
  }

  /** As {@link readFile}, to be read as it is wanted. */
  fileAt(image: StoredImage, path: string): StoredFile | undefined {
    try {
      const checksum = fileIn(this.repo, rootOf(this.repo, image).tree, path);
      return checksum === undefined ? undefined : this.repo.loadFile(checksum);
    } catch (error) {
      if (error instanceof AtomicError && error.code === 'corrupt') return undefined;
      throw error;
    }
  }
}

/** What a text may mean as a name; nothing when it is none. */
function namesOf(text: string): string[] {
  try {
    return possibleNames(text);
  } catch (error) {
    if (error instanceof AtomicError && error.code === 'invalid') return [];
    throw error;
  }
}
