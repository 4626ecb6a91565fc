import { AtomicError } from '@atomic/ostree';
import { FolderFiles, type ImageFiles, readSmall } from './archive-files.ts';
import { chooseManifest, type ImageSource, type Platform, type SourceManifest, smallBlob, verified } from './source.ts';
import { type Descriptor, parseIndex, REF_NAME } from './spec.ts';

/** An image in the OCI image layout (image-layout.md), in a folder or an archive. */
export class LayoutSource implements ImageSource {
  readonly name: string;
  readonly #files: ImageFiles;
  readonly #tag: string | undefined;
  readonly #platform: Platform;

  constructor(name: string, files: ImageFiles, tag: string | undefined, platform: Platform) {
    this.name = name;
    this.#files = files;
    this.#tag = tag;
    this.#platform = platform;
  }

  /** Throws `not-found`, `corrupt`, and `invalid` where there are several and none is named. */
  async manifest(): Promise<SourceManifest> {
    const index = parseIndex(await readSmall(this.#files, 'index.json'));
    const named = index.manifests.filter(
      ({ annotations }) => this.#tag === undefined || annotations?.[REF_NAME] === this.#tag,
    );
    const [first, second] = named;
    if (first === undefined)
      throw new AtomicError(
        'not-found',
        this.#tag === undefined ? 'there is no image' : `there is no image ${this.#tag}`,
      );
    if (second !== undefined)
      throw new AtomicError('invalid', `there are ${named.length} images: name one by its tag`, {
        hint: 'such as oci:folder:latest',
      });
    return await chooseManifest(first, this.#platform, (descriptor) => smallBlob(descriptor, this.#open(descriptor)));
  }

  blob(descriptor: Descriptor): AsyncIterable<Uint8Array> {
    return verified(descriptor, this.#open(descriptor));
  }

  async *#open({ digest }: Descriptor): AsyncGenerator<Uint8Array> {
    const { bytes } = await this.#files.stream(`blobs/sha256/${digest.slice('sha256:'.length)}`);
    yield* bytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#files[Symbol.asyncDispose]();
  }
}

/** The files of a layout in a folder. */
export const openFolder = (folder: string): ImageFiles => new FolderFiles(folder);
