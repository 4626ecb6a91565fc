import { type Descriptor, type ImageSource, type ReadImage, readImage } from '@atomic/oci';
import {
  AtomicError,
  type Checksum,
  corrupt,
  metadataString,
  type Progress,
  parseDirTree,
  type Repo,
  S_IFREG,
  type Stager,
  serializeCommit,
  serializeDirTree,
  type Transaction,
} from '@atomic/ostree';
import { BlobStore } from '../blobs/blob-store.ts';
import { plainMeta } from './folder.ts';
import { importLayer, LAYER_PRIVILEGED } from './import-layer.ts';
import { type ImageLimits, Tally } from './limits.ts';
import { mergeLayers, type Tree } from './merge-layers.ts';
import { imageRef, layerRef } from './names.ts';
import { imageMetadata, layerCount, readStored, type StoredImage } from './stored-image.ts';

export interface PullOptions {
  /** Whole, with tag or digest. */
  name: string;
  /** The reference to read it by again; by default the source's own name. */
  origin?: string | undefined;
  /** Keep layers as they came, too: without, a compressed one cannot be given on with the digest it had. */
  keepBlobs?: boolean | undefined;
  limits?: ImageLimits | undefined;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

export interface PulledImage {
  image: StoredImage;
  /** Of its layers, how many were read. */
  fetched: number;
  /** The very image had the name before. */
  unchanged: boolean;
}

/** Layers read at a time: while one is unpacked the next is on its way. */
const AT_ONCE = 3;

/** See {@link ImageStore.pull}. */
export async function pullImage(repo: Repo, source: ImageSource, options: PullOptions): Promise<PulledImage> {
  const { name, signal } = options;
  const ref = imageRef(name);
  const image = await readImage(source);
  const before = repo.readRef(ref);
  const there = before === null ? undefined : readStored(repo, before, name);
  const diffIds = image.config.rootfs.diff_ids;
  const present = (diffId: string): boolean => repo.readRef(layerRef(diffId)) !== null;
  const blobs = options.keepBlobs === true ? new BlobStore(repo) : undefined;
  const kept = (): boolean => blobs === undefined || packedLayers(image).every(({ digest }) => blobs.has(digest));
  if (there?.digest === image.digest && diffIds.every(present) && kept())
    return { image: there, fetched: 0, unchanged: true };
  // From here on nobody prunes: layers that are here are to stay until the image has them.
  await using transaction = await repo.begin({ resumable: false, signal });
  const fetched = await fetchLayers(repo, source, image, options);
  const layers = diffIds.map((diffId) => {
    const commit = repo.readRef(layerRef(diffId));
    if (commit === null) throw corrupt(`the layer ${diffId} went away while the image was pulled`);
    return commit;
  });
  const commit = await writeImage(repo, transaction, image, layers, {
    origin: options.origin ?? source.name,
    limits: options.limits,
  });
  transaction.setRef(ref, commit);
  signal?.throwIfAborted();
  await transaction.commit();
  const stored = readStored(repo, commit, name);
  if (stored === undefined) throw corrupt(`the image ${name} was not stored`);
  return { image: stored, fetched, unchanged: false };
}

/** The layers whose archive does not come back by itself as it came. */
const packedLayers = ({ manifest, config }: ReadImage): Descriptor[] =>
  manifest.layers.filter(({ digest }, i) => digest !== config.rootfs.diff_ids[i]);

async function fetchLayers(repo: Repo, source: ImageSource, image: ReadImage, options: PullOptions): Promise<number> {
  const { manifest, config } = image;
  const blobs = options.keepBlobs === true ? new BlobStore(repo) : undefined;
  // A layer may come twice, such as the empty one.
  const missing = new Map(
    manifest.layers.flatMap((descriptor, i) => {
      const diffId = config.rootfs.diff_ids[i] ?? '';
      return repo.readRef(layerRef(diffId)) === null ? [[diffId, descriptor] as const] : [];
    }),
  );
  for (const descriptor of blobs === undefined ? [] : packedLayers(image))
    await blobs?.put(source.blob(descriptor, options.signal), descriptor.digest, {
      ...descriptor,
      signal: options.signal,
    });
  const { limits } = options;
  // Those that are here already count like those that come: what is refused does not depend on what came before.
  const tally = new Tally(limits);
  for (const diffId of new Set(config.rootfs.diff_ids)) {
    const layer = repo.readRef(layerRef(diffId));
    if (layer !== null) tally.count(layerCount(repo, layer));
  }
  const totalBytes = [...missing.values()].reduce((sum, { size }) => sum + size, 0);
  let bytes = 0;
  let done = 0;
  const onBytes = (more: number): void => {
    bytes += more;
    options.progress?.({ phase: 'Layers', done, total: missing.size, bytes, totalBytes });
  };
  const staged: Transaction[] = [];
  const beside = new Set<Stager>();
  const failed = new AbortController();
  const signal = options.signal === undefined ? failed.signal : AbortSignal.any([options.signal, failed.signal]);
  const queue = [...missing];
  const work = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const [diffId, descriptor] = next;
      signal.throwIfAborted();
      const stored = blobs?.find(descriptor.digest);
      const bytes = stored === undefined || blobs === undefined ? source.blob(descriptor, signal) : blobs.open(stored);
      staged.push(await importLayer(repo, bytes, diffId, { limits, tally, signal, onBytes, beside }));
      done++;
    }
  };
  let first: { error: unknown } | undefined;
  const workers = Array.from({ length: Math.min(AT_ONCE, queue.length) }, () =>
    work().catch((error: unknown) => {
      first ??= { error };
      failed.abort(error);
    }),
  );
  await Promise.all(workers);
  // The disk is waited for once, not after each layer; of an image that is refused no layer stays.
  try {
    if (first === undefined || !isRefusal(first.error)) for (const transaction of staged) await transaction.commit();
  } finally {
    for (const transaction of staged) await transaction[Symbol.asyncDispose]();
  }
  if (first !== undefined) throw first.error;
  return missing.size;
}

/** Whether an error says that the image is bad: then what came of it is not wanted the next time either. */
const isRefusal = (error: unknown): boolean =>
  error instanceof AtomicError && ['corrupt', 'invalid'].includes(error.code);

/** Stages the commit that keeps an image. */
async function writeImage(
  repo: Repo,
  transaction: Transaction,
  image: ReadImage,
  layers: readonly Checksum[],
  { origin, limits }: { origin: string; limits: ImageLimits | undefined },
): Promise<Checksum> {
  const rootfs = mergeLayers(repo, transaction, layers, limits);
  const header = { uid: 0, gid: 0, mode: S_IFREG | 0o644, target: '', xattrs: [] };
  const file = async (name: string, text: string) => {
    const source = Buffer.from(text);
    return { name, checksum: await transaction.writeContent({ header, size: source.length, source }) };
  };
  const files = [await file('manifest.json', image.manifestText), await file('config.json', image.configText)];
  const privileged = [...privilegedPaths(repo, transaction, rootfs, layers)];
  if (privileged.length > 0) files.push(await file('privileged', JSON.stringify(privileged)));
  const meta = plainMeta(transaction);
  const tree = transaction.writeMetadata(
    'dirtree',
    serializeDirTree({ files, dirs: [{ name: 'rootfs', tree: rootfs.tree, meta: rootfs.meta }] }),
  );
  const metadata = imageMetadata({
    digest: image.digest,
    mediaType: image.mediaType,
    id: image.manifest.config.digest,
    diffIds: image.config.rootfs.diff_ids,
    origin,
  });
  const timestamp = Math.floor(Date.now() / 1000);
  const commit = { metadata, parent: null, subject: '', body: '', timestamp, tree, meta };
  return transaction.writeMetadata('commit', serializeCommit(commit));
}

/** Where files with privileges are in the tree of an image. */
function* privilegedPaths(
  repo: Repo,
  transaction: Transaction,
  { tree }: Tree,
  layers: readonly Checksum[],
): Generator<{ path: string; checksum: Checksum }> {
  const wanted = new Set(
    layers.flatMap((layer) => {
      const text = metadataString(repo.loadCommit(layer).metadata, LAYER_PRIVILEGED) ?? '';
      return text === '' ? [] : text.split(' ');
    }),
  );
  if (wanted.size > 0) yield* find(transaction, tree, '', wanted);
}

function* find(
  transaction: Transaction,
  tree: Checksum,
  path: string,
  wanted: ReadonlySet<Checksum>,
): Generator<{ path: string; checksum: Checksum }> {
  const { files, dirs } = parseDirTree(transaction.loadObject('dirtree', tree));
  for (const { name, checksum } of files) if (wanted.has(checksum)) yield { path: `${path}/${name}`, checksum };
  for (const dir of dirs) yield* find(transaction, dir.tree, `${path}/${dir.name}`, wanted);
}
