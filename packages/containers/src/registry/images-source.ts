import { createHash } from 'node:crypto';
import { type Descriptor, isRepository, MEDIA, parseImageName } from '@atomic/oci';
import type { ImageStore } from '../images/image-store.ts';
import { layerSize, type StoredImage, storedManifest } from '../images/stored-image.ts';
import type { FoundManifest, Source } from './source.ts';

/**
 * The images of this machine as a registry has them, under their whole names (`docker.io/library/alpine`) and under those
 * without the registry's (`library/alpine`). An image whose compressed layers were kept has the digests it came with; of
 * another the layers are served uncompressed, below a manifest of its own.
 */
export class ImagesSource implements Source {
  readonly #images: ImageStore;

  constructor(images: ImageStore) {
    this.#images = images;
  }

  async manifest(name: string, reference: string): Promise<FoundManifest | undefined> {
    for (const image of this.#named(name)) {
      const { tag } = parseImageName(image.name);
      if (!reference.includes(':') && tag !== reference) continue;
      const found = await this.#manifestOf(image);
      if (!reference.includes(':') || found.digest === reference) return found;
    }
    return undefined;
  }

  async blob(name: string, digest: string): ReturnType<Source['blob']> {
    for (const image of this.#named(name)) {
      const source = this.#images.open(image);
      const { config, layers } = storedManifest(this.#images.repo, image);
      const listed = [config, ...layers].find((one) => one.digest === digest);
      if (listed !== undefined && source.available(listed))
        return { size: listed.size, open: () => source.blob(listed) };
      if (image.diffIds.includes(digest))
        return { size: layerSize(this.#images.repo, digest), open: () => source.archive(digest) };
    }
    return undefined;
  }

  async tags(name: string): Promise<string[] | undefined> {
    const images = this.#named(name);
    if (images.length === 0) return undefined;
    return images.flatMap(({ name: whole }) => parseImageName(whole).tag ?? []);
  }

  async names(): Promise<string[]> {
    return [...new Set(this.#images.list().flatMap(({ name }) => servedNames(name)))];
  }

  #named(name: string): StoredImage[] {
    return this.#images.list().filter((image) => servedNames(image.name).includes(name));
  }

  async #manifestOf(image: StoredImage): Promise<FoundManifest> {
    const source = this.#images.open(image);
    const { config, layers, annotations } = storedManifest(this.#images.repo, image);
    if ([config, ...layers].every((one) => source.available(one))) return await source.manifest();
    const plain = image.diffIds.map(
      (digest): Descriptor => ({ mediaType: MEDIA.layer, digest, size: layerSize(this.#images.repo, digest) }),
    );
    const manifest = {
      schemaVersion: 2,
      mediaType: MEDIA.manifest,
      config: { ...config, mediaType: MEDIA.config },
      layers: plain,
      ...(annotations ? { annotations } : {}),
    };
    const bytes = Buffer.from(JSON.stringify(manifest));
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    return { bytes, mediaType: MEDIA.manifest, digest };
  }
}

/** Under what names of repositories an image is served: what is none, because of a port, is left out. */
function servedNames(image: string): string[] {
  const { registry, repository } = parseImageName(image);
  return [`${registry ?? 'localhost'}/${repository}`, repository].filter(isRepository);
}
