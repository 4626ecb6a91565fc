import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  archiveOf,
  canonicalJson,
  copyImage,
  type Descriptor,
  dockerMembers,
  formatImageName,
  formatImageReference,
  type ImageReference,
  type ImageSource,
  type ImageTarget,
  type LayerCompression,
  LayoutSource,
  LayoutTarget,
  LayoutWriter,
  layoutMembers,
  loadIntoDaemon,
  MEDIA,
  openFolder,
  parseImageName,
  parseImageReference,
  RegistryTarget,
  type SourceManifest,
  thisPlatform,
  writeWhole,
} from '@atomic/oci';
import { AtomicError, type Progress } from '@atomic/ostree';
import type { ImageStore } from './images/image-store.ts';
import { configBytes, layerSize, manifestBytes, type StoredImage, storedManifest } from './images/stored-image.ts';
import type { StoredSource } from './images/stored-source.ts';
import { fullName, pullName } from './policy/full-name.ts';
import { loadRegistries } from './policy/registries/load-registries.ts';
import { blockedError, resolveImage } from './policy/registries/resolve-image.ts';
import { hasTransport, registrySource } from './pull.ts';
import type { Reach } from './reach.ts';

export interface PushRequest extends Reach {
  store: ImageStore;
  /** How layers are packed whose packed form was not kept and cannot be had again. */
  compression?: LayerCompression | undefined;
  /** Fail where the image would not have the digest it came with. */
  sameDigest?: boolean | undefined;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

export interface PushReport {
  to: string;
  /** Of the manifest as it was written. */
  digest: string;
  /** Whether that is the one the image came with. */
  sameDigest: boolean;
  blobs: { sent: number; there: number };
}

/** What a text names as a place to push to: a name is one in a registry. Throws `invalid`. */
export const pushTarget = (text: string): ImageReference =>
  hasTransport(text)
    ? parseImageReference(text)
    : { transport: 'docker', name: pullName(fullName(parseImageName(text))) };

/**
 * Write a stored image to a registry, a layout, an archive or an engine. The manifest and every blob are those it came
 * with, as far as they can be had: what the store did not keep is read again where the image came from; else layers
 * are packed anew, and the image gets another digest. Throws `not-found` with `sameDigest` then.
 */
export async function push(image: StoredImage, target: ImageReference, request: PushRequest): Promise<PushReport> {
  const { store, signal, progress } = request;
  if (target.transport === 'docker-archive' || target.transport === 'docker-daemon')
    return await pushDocker(image, target, request);
  const scratch = await mkdtemp(join(tmpdir(), 'atomic-push-'));
  try {
    await using to = await openTarget(target, join(scratch, 'layout'), request);
    await using own = store.open(image);
    await using origin = new Origin(own, request);
    const same = await origin.covers(to, storedManifest(store.repo, image).layers);
    const source = same ? origin : await repacked(own, store, image, join(scratch, 'packed'), request);
    if (request.sameDigest === true && (await source.manifest()).digest !== image.digest)
      throw new AtomicError('not-found', `${image.name}: its layers were not kept as they came`, {
        hint: 'pull it with --keep-blobs first',
      });
    const { digest, blobs } = await copyImage(source, to, { signal, progress });
    if (target.transport === 'oci-archive')
      await writeWhole(target.path, archiveOf(await layoutMembers(join(scratch, 'layout'))), signal);
    return { to: formatImageReference(target), digest, sameDigest: digest === image.digest, blobs };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Opens what an image is written to; an archive's layout is written to `scratch` first. Throws an outcome `policy`. */
export async function openTarget(target: ImageReference, scratch: string, request: Reach): Promise<ImageTarget> {
  switch (target.transport) {
    case 'oci':
      return new LayoutTarget(target.path, target.tag);
    case 'oci-archive':
      return new LayoutTarget(scratch, target.tag);
    case 'docker': {
      const [candidate] = resolveImage(target.name, loadRegistries(request.paths)).candidates;
      if (candidate?.blocked !== undefined) throw blockedError(candidate);
      // Mirrors are for reading; what is pushed goes to the place itself.
      const place = candidate?.sources.find(({ mirror }) => !mirror);
      const { ref, insecure } = place ?? { ref: fullName(target.name), insecure: false };
      return new RegistryTarget(ref, request.access({ ref, insecure }));
    }
    default:
      throw new AtomicError('unsupported', `images are not written to ${target.transport}:`, {
        hint: 'docker://, oci:, oci-archive:, docker-archive: and docker-daemon: are',
      });
  }
}

/** The stored image, with what the store lacks out of the registry it came from. */
class Origin implements ImageSource {
  readonly name: string;
  readonly #own: StoredSource;
  readonly #request: PushRequest;
  #source: ImageSource | undefined;

  constructor(own: StoredSource, request: PushRequest) {
    this.name = own.name;
    this.#own = own;
    this.#request = request;
  }

  manifest(): Promise<SourceManifest> {
    return this.#own.manifest();
  }

  /** Whether every layer is at the target, here, or where the image came from. */
  async covers(target: ImageTarget, layers: readonly Descriptor[]): Promise<boolean> {
    const missing: Descriptor[] = [];
    for (const layer of layers) if (!this.#own.available(layer) && !(await target.hasBlob(layer))) missing.push(layer);
    if (missing.length === 0) return true;
    try {
      const source = this.#open();
      if (source === undefined) return false;
      // The very image may have moved on there; its blobs are asked for by their digests.
      await source.manifest();
      return true;
    } catch (error) {
      this.#request.signal?.throwIfAborted();
      if (error instanceof AtomicError && ['network', 'not-found', 'permission'].includes(error.code)) return false;
      throw error;
    }
  }

  blob(descriptor: Descriptor, signal?: AbortSignal): AsyncIterable<Uint8Array> {
    if (this.#own.available(descriptor)) return this.#own.blob(descriptor);
    const source = this.#open();
    return source === undefined ? this.#own.blob(descriptor) : source.blob(descriptor, signal);
  }

  #open(): ImageSource | undefined {
    const { image } = this.#own;
    if (this.#source !== undefined || !image.origin.startsWith('docker://')) return this.#source;
    const name = { ...parseImageName(image.origin.slice('docker://'.length)), tag: undefined, digest: image.digest };
    const [candidate] = resolveImage(name, loadRegistries(this.#request.paths)).candidates;
    if (candidate === undefined || candidate.blocked !== undefined) return undefined;
    this.#source = registrySource(candidate, this.#request);
    return this.#source;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source?.[Symbol.asyncDispose]();
  }
}

/** The image with its layers packed anew, in a layout made for this. */
async function repacked(
  own: StoredSource,
  store: ImageStore,
  image: StoredImage,
  folder: string,
  { compression = 'gzip', signal }: PushRequest,
): Promise<ImageSource> {
  const writer = await LayoutWriter.create(folder);
  const known = new Map<string, Descriptor>();
  const layers: Descriptor[] = [];
  for (const diffId of image.diffIds) {
    const descriptor = known.get(diffId) ?? (await writer.layer(own.archive(diffId), compression, signal)).descriptor;
    known.set(diffId, descriptor);
    layers.push(descriptor);
  }
  const before = storedManifest(store.repo, image);
  // Packed by the same library at the same level, all of it is what it was.
  if (before.layers.every(({ digest }, i) => digest === layers[i]?.digest)) {
    await writer.bytes(MEDIA.config, configBytes(store.repo, image));
    await writer.finish(await writer.bytes(image.mediaType, manifestBytes(store.repo, image)), undefined);
    return new LayoutSource(image.name, openFolder(folder), undefined, thisPlatform());
  }
  const { annotations } = before;
  const config = await writer.bytes(MEDIA.config, configBytes(store.repo, image));
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA.manifest,
    config,
    layers,
    ...(annotations ? { annotations } : {}),
  };
  const descriptor = await writer.bytes(MEDIA.manifest, canonicalJson(manifest));
  await writer.finish(descriptor, undefined);
  return new LayoutSource(image.name, openFolder(folder), undefined, thisPlatform());
}

async function pushDocker(
  image: StoredImage,
  target: Extract<ImageReference, { transport: 'docker-archive' | 'docker-daemon' }>,
  request: PushRequest,
): Promise<PushReport> {
  const { store, signal } = request;
  await using own = store.open(image);
  const names = [target.name ?? image.name].map((one) =>
    formatImageName({ ...pullName(fullName(parseImageName(one))), digest: undefined }),
  );
  const layers = image.diffIds.map((diffId) => ({
    diffId,
    size: layerSize(store.repo, diffId),
    open: () => own.archive(diffId),
  }));
  const archive = archiveOf(dockerMembers(names, configBytes(store.repo, image), image.id, layers));
  if (target.transport === 'docker-archive') await writeWhole(target.path, archive, signal);
  else await loadIntoDaemon(archive, { socketPath: request.socketPath, signal });
  const sent = image.diffIds.length + 1;
  return { to: formatImageReference(target), digest: image.digest, sameDigest: true, blobs: { sent, there: 0 } };
}
