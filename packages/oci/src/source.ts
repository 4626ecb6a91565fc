import { createHash } from 'node:crypto';
import { corrupt } from '@atomic/ostree';
import { choosePlatform } from './choose-platform.ts';
import {
  type Descriptor,
  type ImageConfig,
  isIndex,
  type Manifest,
  parseConfig,
  parseIndex,
  parseManifest,
} from './spec.ts';

export interface SourceManifest {
  bytes: Buffer;
  mediaType: string;
  /** `sha256:…` */
  digest: string;
}

/** An image to read. */
export interface ImageSource extends AsyncDisposable {
  /** For messages. */
  readonly name: string;
  /** The manifest of the image for this platform, checked against its digest where that is known. */
  manifest(): Promise<SourceManifest>;
  /** Names that come with the image, where its form has any. */
  names?(): Promise<readonly string[]>;
  /** A blob's bytes as they come; throws `corrupt` at their end when they were not what the descriptor says. */
  blob(descriptor: Descriptor, signal?: AbortSignal): AsyncIterable<Uint8Array>;
}

export interface Platform {
  os: string;
  architecture: string;
  variant?: string | undefined;
}

/** Where an image is written to: first its blobs, then its manifest. */
export interface ImageTarget extends AsyncDisposable {
  readonly name: string;
  hasBlob(descriptor: Descriptor): Promise<boolean>;
  /** `open` gives the bytes from the beginning, each time it is called. */
  putBlob(descriptor: Descriptor, open: () => AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<void>;
  putManifest(manifest: SourceManifest): Promise<void>;
}

export interface ReadImage extends SourceManifest {
  manifest: Manifest;
  manifestText: string;
  config: ImageConfig;
  configText: string;
}

/** Manifests and configurations are small; registries take no larger ones (distribution specification, "Pushing manifests"). */
export const MAX_JSON = 4 << 20;
/** A list may be in a list; deeper nests nobody's. */
const MAX_LISTS = 3;
const MAX_LAYERS = 1000;

const ARCHITECTURES: Partial<Record<string, string>> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' };

/** The platform of this machine, as images name it. */
export const thisPlatform = (): Platform => ({
  os: 'linux',
  architecture: ARCHITECTURES[process.arch] ?? process.arch,
});

/** Passes bytes on and throws `corrupt` at the end when they are not what the descriptor says, or as soon as too many. */
export async function* verified(
  { digest, size }: Descriptor,
  bytes: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  let left = size;
  for await (const chunk of bytes) {
    left -= chunk.length;
    if (left < 0) throw corrupt(`the blob ${digest} is not what its digest says: it is larger than its ${size} bytes`);
    hash.update(chunk);
    yield chunk;
  }
  if (left !== 0)
    throw corrupt(`the blob ${digest} is not what its digest says: ${left} of its ${size} bytes are missing`);
  if (`sha256:${hash.digest('hex')}` !== digest) throw corrupt(`the blob ${digest} is not what its digest says`);
}

/** A small blob, whole. Throws `corrupt` for one that is too large for what it is. */
export async function smallBlob(descriptor: Descriptor, bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  if (descriptor.size > MAX_JSON)
    throw corrupt(`${descriptor.digest} of the image is ${descriptor.size} bytes, larger than any that is in order`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of verified(descriptor, bytes)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/**
 * Find the manifest of the image for a platform behind a descriptor, which may be a list's. Throws `not-found` when the
 * list has none for it, `corrupt` for lists in lists without end.
 */
export async function chooseManifest(
  descriptor: Descriptor,
  platform: Platform,
  read: (descriptor: Descriptor) => Promise<Buffer>,
): Promise<SourceManifest> {
  let at = descriptor;
  for (let lists = 0; ; lists++) {
    const bytes = await read(at);
    if (!isIndex(at)) return { bytes, mediaType: at.mediaType, digest: at.digest };
    if (lists === MAX_LISTS) throw corrupt(`${descriptor.digest} is a list of lists without end`);
    at = choosePlatform(parseIndex(bytes).manifests, platform);
  }
}

/** Check an image's metadata and read its configuration. Throws `corrupt`. */
export async function readImage(source: ImageSource): Promise<ReadImage> {
  const found = await source.manifest();
  const manifest = parseManifest(found.bytes);
  if (manifest.layers.length > MAX_LAYERS) throw corrupt(`the image has ${manifest.layers.length} layers`);
  const configBytes = await smallBlob(manifest.config, source.blob(manifest.config));
  const config = parseConfig(configBytes);
  if (config.rootfs.diff_ids.length !== manifest.layers.length)
    throw corrupt(`the image has ${manifest.layers.length} layers and names ${config.rootfs.diff_ids.length}`);
  return {
    ...found,
    manifest,
    manifestText: found.bytes.toString('utf8'),
    config,
    configText: configBytes.toString('utf8'),
  };
}
