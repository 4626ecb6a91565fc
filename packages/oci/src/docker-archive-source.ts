import { createHash } from 'node:crypto';
import { AtomicError, corrupt } from '@atomic/ostree';
import { z } from 'zod';
import { type ImageFiles, readSmall } from './archive-files.ts';
import { type ImageSource, type SourceManifest, verified } from './source.ts';
import { canonicalJson, type Descriptor, MEDIA, parseConfig } from './spec.ts';

const manifests = z
  .array(z.object({ Config: z.string(), RepoTags: z.array(z.string()).nullish(), Layers: z.array(z.string()) }))
  .min(1);

/**
 * An image in an archive of `docker save`: its configuration and its layers as plain tar archives, and no manifest, so
 * that one is made, the same each time. (moby's image/spec/v1.2.md, "Combined Image JSON + Filesystem Changeset Format".)
 */
export class DockerArchiveSource implements ImageSource {
  readonly name: string;
  readonly #files: ImageFiles;
  readonly #wanted: string | undefined;
  readonly #config = new Map<string, Buffer>();
  readonly #layers = new Map<string, string>();
  #manifest: SourceManifest | undefined;
  #names: readonly string[] = [];

  /** `wanted`: name of the image in the archive, where there are several. */
  constructor(name: string, files: ImageFiles, wanted: string | undefined) {
    this.name = name;
    this.#files = files;
    this.#wanted = wanted;
  }

  async manifest(): Promise<SourceManifest> {
    this.#manifest ??= await this.#make();
    return this.#manifest;
  }

  /** The names that the image had where it was saved. */
  async names(): Promise<readonly string[]> {
    await this.manifest();
    return this.#names;
  }

  async #make(): Promise<SourceManifest> {
    const parsed = manifests.safeParse(parseJson(await readSmall(this.#files, 'manifest.json')));
    if (!parsed.success)
      throw corrupt(`manifest.json of ${this.name} is malformed: ${parsed.error.issues[0]?.message}`);
    const image = choose(parsed.data, this.#wanted);
    this.#names = image.RepoTags ?? [];
    const config = await readSmall(this.#files, image.Config);
    const { rootfs } = parseConfig(config);
    if (rootfs.diff_ids.length !== image.Layers.length)
      throw corrupt(`the image has ${image.Layers.length} layers and names ${rootfs.diff_ids.length}`);
    const layers: Descriptor[] = [];
    for (const [i, path] of image.Layers.entries()) {
      const { size } = await this.#files.stream(path);
      const digest = rootfs.diff_ids[i] ?? '';
      this.#layers.set(digest, path);
      layers.push({ mediaType: MEDIA.layer, digest, size });
    }
    const digest = `sha256:${createHash('sha256').update(config).digest('hex')}`;
    this.#config.set(digest, config);
    const bytes = canonicalJson({
      schemaVersion: 2,
      mediaType: MEDIA.manifest,
      config: { mediaType: MEDIA.config, digest, size: config.length },
      layers,
    });
    return {
      bytes,
      mediaType: MEDIA.manifest,
      digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}`,
    };
  }

  blob(descriptor: Descriptor): AsyncIterable<Uint8Array> {
    return verified(descriptor, this.#open(descriptor));
  }

  async *#open({ digest }: Descriptor): AsyncGenerator<Uint8Array> {
    await this.manifest();
    const config = this.#config.get(digest);
    if (config !== undefined) {
      yield config;
      return;
    }
    const path = this.#layers.get(digest);
    if (path === undefined) throw new AtomicError('not-found', `${this.name} has no ${digest}`);
    const { bytes } = await this.#files.stream(path);
    yield* bytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#files[Symbol.asyncDispose]();
  }
}

type Entry = z.output<typeof manifests>[number];

function choose(images: readonly Entry[], wanted: string | undefined): Entry {
  const [only, second] = images;
  if (wanted === undefined && only !== undefined && second === undefined) return only;
  const names = images.flatMap(({ RepoTags }) => RepoTags ?? []);
  const hint = `it has ${names.join(', ')}`;
  if (wanted === undefined) throw new AtomicError('invalid', `there are ${images.length} images: name one`, { hint });
  const found = images.find(({ RepoTags }) => RepoTags?.includes(wanted) || RepoTags?.includes(`${wanted}:latest`));
  if (found === undefined) throw new AtomicError('not-found', `there is no image ${wanted}`, { hint });
  return found;
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new AtomicError('corrupt', 'manifest.json of the archive is not JSON', { cause });
  }
}
