import { type ImageConfig, type Manifest, parseConfig, parseManifest } from '@atomic/oci';
import {
  AtomicError,
  type Checksum,
  corrupt,
  type Metadata,
  metadataString,
  type Repo,
  stringVariant,
} from '@atomic/ostree';
import type { Counted } from './limits.ts';
import { layerRef } from './names.ts';

/** Key in the metadata of a layer's commit: bytes of its archive. */
export const LAYER_SIZE = 'atomic.layer.size';
/** Keys there: what the layer has of what images may have only so much of. */
const LAYER_ENTRIES = 'atomic.layer.entries';
const LAYER_NAMES = 'atomic.layer.names';

export const countMetadata = ({ entries, names }: Counted): Metadata =>
  new Map([
    [LAYER_ENTRIES, { type: 't', value: BigInt(entries) }],
    [LAYER_NAMES, { type: 't', value: BigInt(names) }],
  ]);

/** What was counted in a layer when it was stored. */
export function layerCount(repo: Repo, layer: Checksum): Counted {
  const { metadata } = repo.loadCommit(layer);
  const number = (key: string): number => {
    const value = metadata.get(key)?.value;
    return typeof value === 'bigint' ? Number(value) : 0;
  };
  return { entries: number(LAYER_ENTRIES), names: number(LAYER_NAMES) };
}

/** An image in the store, under one of its names. */
export interface StoredImage {
  /** Whole, with tag or digest. */
  name: string;
  /** What keeps all of it: `/rootfs`, `/manifest.json`, `/config.json`, `/privileged` if any; see {@link imageRef}. */
  commit: Checksum;
  /** `sha256:…` of the manifest. */
  digest: string;
  mediaType: string;
  /** `sha256:…` of the configuration: what engines call the image's ID. */
  id: string;
  /** Uncompressed layers, the lowest first. */
  diffIds: readonly string[];
  /** Unix seconds at which it was stored. */
  stored: number;
  /** Where it came from, as a reference that can be read again; '' when nowhere. */
  origin: string;
}

const DIGEST = 'atomic.image.digest';
const MEDIA_TYPE = 'atomic.image.media-type';
const ID = 'atomic.image.id';
const LAYERS = 'atomic.image.layers';
const ORIGIN = 'atomic.image.origin';

export function imageMetadata(image: Omit<StoredImage, 'name' | 'commit' | 'stored'>): Metadata {
  return new Map([
    [DIGEST, stringVariant(image.digest)],
    [ID, stringVariant(image.id)],
    [LAYERS, stringVariant(image.diffIds.join(' '))],
    [MEDIA_TYPE, stringVariant(image.mediaType)],
    [ORIGIN, stringVariant(image.origin)],
  ]);
}

/** What a commit says of the image it holds; undefined for another commit. */
export function readStored(repo: Repo, commit: Checksum, name: string): StoredImage | undefined {
  let found: ReturnType<Repo['loadCommit']>;
  try {
    found = repo.loadCommit(commit);
  } catch (error) {
    if (error instanceof AtomicError && error.code === 'not-found') return undefined;
    throw error;
  }
  const { metadata, timestamp } = found;
  const get = (key: string) => metadataString(metadata, key);
  const [digest, mediaType, id, layers] = [get(DIGEST), get(MEDIA_TYPE), get(ID), get(LAYERS)];
  if (digest === undefined || mediaType === undefined || id === undefined || layers === undefined) return undefined;
  const diffIds = layers === '' ? [] : layers.split(' ');
  return { name, commit, digest, mediaType, id, diffIds, stored: timestamp, origin: get(ORIGIN) ?? '' };
}

/** The root folder of an image: dirtree and dirmeta. Throws `corrupt`. */
export function rootOf(repo: Repo, { commit, name }: StoredImage): { tree: Checksum; meta: Checksum } {
  const found = repo.loadDirTree(repo.loadCommit(commit).tree).dirs.find((dir) => dir.name === 'rootfs');
  if (found === undefined) throw corrupt(`the stored image ${name} has no root`);
  return found;
}

/** A file beside the tree of an image; undefined when there is none. */
export function sideFile(repo: Repo, commit: Checksum, name: string): Buffer | undefined {
  const { tree } = repo.loadCommit(commit);
  const found = repo.loadDirTree(tree).files.find((file) => file.name === name);
  return found === undefined ? undefined : repo.loadFile(found.checksum).readContent();
}

function need(repo: Repo, { commit, name }: StoredImage, file: string): Buffer {
  const bytes = sideFile(repo, commit, file);
  if (bytes === undefined) throw corrupt(`the stored image ${name} has no ${file}`);
  return bytes;
}

export const manifestBytes = (repo: Repo, image: StoredImage): Buffer => need(repo, image, 'manifest.json');
export const configBytes = (repo: Repo, image: StoredImage): Buffer => need(repo, image, 'config.json');
export const storedManifest = (repo: Repo, image: StoredImage): Manifest => parseManifest(manifestBytes(repo, image));
export const storedConfig = (repo: Repo, image: StoredImage): ImageConfig => parseConfig(configBytes(repo, image));

/** Bytes of a layer's uncompressed archive. Throws `not-found`, `corrupt`. */
export function layerSize(repo: Repo, diffId: string): number {
  const layer = repo.readRef(layerRef(diffId));
  if (layer === null) throw new AtomicError('not-found', `the layer ${diffId} is not here`);
  const size = repo.loadCommit(layer).metadata.get(LAYER_SIZE)?.value;
  if (typeof size !== 'bigint') throw corrupt(`${layer} is no layer of an image`);
  return Number(size);
}
