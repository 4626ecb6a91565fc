import {
  type Descriptor,
  type ImageConfig,
  type ImageSource,
  type Manifest,
  type OpenSourceOptions,
  openSource,
  parseImageReference,
  parseManifest,
  readImage,
} from '@atomic/oci';
import {
  AtomicError,
  applyChangeset,
  type Checksum,
  corrupt,
  descendants,
  type Metadata,
  metadataString,
  openCommitPolicy,
  type Progress,
  type Repo,
  S_IFDIR,
  serializeCommit,
  serializeDirMeta,
  serializeDirTree,
  stringVariant,
  type Transaction,
  treeRoot,
} from '@atomic/ostree';
import { derivedChanges, placeInTree } from './derived-layer.ts';
import { importObjects } from './import-objects.ts';
import {
  CONFIG_KEY,
  DIFFID_LABEL,
  IMAGE_PREFIX,
  imageRef,
  LAYER_PREFIX,
  layerRef,
  MANIFEST_DIGEST_KEY,
  MANIFEST_KEY,
} from './labels.ts';

export interface ImportImageOptions {
  repo: Repo;
  /** Where the image is, as in {@link encapsulate}. */
  source: string;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

export interface PullImageOptions extends ImportImageOptions {
  /** How the image is reached. */
  open?: Pick<OpenSourceOptions, 'scratch' | 'policy' | 'authFile'> | undefined;
  /** Throws unless the commit in the image is to be trusted; layers on top of it are then refused. */
  vouch?: ((commit: Checksum) => Promise<void>) | undefined;
}

export interface UnencapsulateResult {
  commit: Checksum;
  /** Of the image's manifest. */
  digest: string;
}

export interface PullImageResult extends UnencapsulateResult {
  /** What a host deploys: the commit with what was added to the image, and the image's manifest in its metadata. */
  merged: Checksum;
  /** The ref that keeps it. */
  ref: string;
  layers: { total: number; fetched: number; derived: number };
}

interface Layers {
  commit: Descriptor;
  content: Descriptor[];
  derived: { descriptor: Descriptor; name: string | undefined }[];
}

/** Which layers are the commit's, and which were added to it. Throws `invalid` for an image that holds no commit. */
function sortLayers({ layers }: Manifest, config: ImageConfig): Layers {
  const last = config.config?.Labels?.[DIFFID_LABEL];
  const [commit] = layers;
  const end = last === undefined ? -1 : config.rootfs.diff_ids.indexOf(last);
  if (last === undefined || commit === undefined)
    throw new AtomicError('invalid', `the image holds no ostree commit: it has no label ${DIFFID_LABEL}`, {
      hint: 'atomic compose container-encapsulate makes images that do',
    });
  if (end < 0) throw corrupt(`the image's label ${DIFFID_LABEL} names none of its layers`);
  const derived = layers.slice(end + 1).map((descriptor, i) => ({
    descriptor,
    name: config.history?.[end + 1 + i]?.created_by,
  }));
  return { commit, content: layers.slice(1, end + 1), derived };
}

/**
 * Take the commit out of an image that {@link encapsulate} or `ostree container` made, the very same commit, and point
 * `ref` to it. Throws `invalid` for an image with other layers on top, `corrupt` for one that is not what it says.
 */
export async function unencapsulate(
  options: ImportImageOptions & { ref?: string | undefined },
): Promise<UnencapsulateResult> {
  const { repo, signal, progress } = options;
  await using reader = await openSource(parseImageReference(options.source), { signal });
  const { digest, manifest, config } = await readImage(reader);
  const layers = sortLayers(manifest, config);
  if (layers.derived.length > 0)
    throw new AtomicError('invalid', `the image has ${layers.derived.length} layers on top of its commit`, {
      hint: 'atomic compose container-pull takes them along',
    });
  await using transaction = await repo.begin({ signal });
  const all = [layers.commit, ...layers.content];
  let commit: Checksum | undefined;
  for (const [done, layer] of all.entries()) {
    progress?.({ phase: 'Layers', done, total: all.length });
    const imported = await importObjects(transaction, reader.blob(layer), { metadata: done === 0, signal });
    commit ??= imported.commit;
  }
  if (commit === undefined) throw corrupt('the first layer of the image has no commit');
  await transaction.commit();
  requireWhole(repo, commit);
  await finish(repo, commit, options.ref, signal);
  return { commit, digest };
}

/**
 * Pull an image into a repository, as bootc and `ostree container image pull` do: each layer once, kept by a ref, then a
 * commit of all of them, with manifest and configuration in its metadata, kept by the image's ref. Layers that are
 * here are not read again. Throws as {@link unencapsulate}.
 */
export async function pullImage(options: PullImageOptions): Promise<PullImageResult> {
  const { repo, source, signal, progress } = options;
  await using reader = await openSource(parseImageReference(source), { signal, ...options.open });
  const image = await readImage(reader);
  const layers = sortLayers(image.manifest, image.config);
  if (options.vouch !== undefined && layers.derived.length > 0)
    throw new AtomicError(
      'invalid',
      `nobody vouches for ${layers.derived.length} layers on top of the image's commit`,
      {
        hint: 'only its commit is signed; such an image is signed as a whole: ostree-image-signed:',
      },
    );
  const own = [layers.commit, ...layers.content];
  const ref = imageRef(source);
  const total = image.manifest.layers.length;
  let fetched = 0;
  let base = repo.tryResolveRev(layerRef(layers.commit.digest));
  const before = repo.tryResolveRev(ref);
  if (base !== null && before !== null && manifestDigest(repo, before) === image.digest) {
    await options.vouch?.(base);
    const counts = { total, fetched: 0, derived: layers.derived.length };
    return { commit: base, digest: image.digest, merged: before, ref, layers: counts };
  }
  for (const [done, layer] of own.entries()) {
    if (repo.tryResolveRev(layerRef(layer.digest)) !== null) continue;
    progress?.({ phase: 'Layers', done, total: own.length });
    // One transaction a layer: what an interrupted pull fetched is there for the next.
    await using transaction = await repo.begin({ signal });
    const { commit, files } = await importObjects(transaction, reader.blob(layer), { metadata: done === 0, signal });
    if (done === 0) base = commit ?? null;
    const kept = done === 0 ? base : writeObjectSet(transaction, files);
    if (kept === null) throw corrupt('the first layer of the image has no commit');
    transaction.setRef(layerRef(layer.digest), kept);
    await transaction.commit();
    fetched++;
  }
  if (base === null) throw corrupt('the first layer of the image has no commit');
  requireWhole(repo, base);
  await options.vouch?.(base);
  await finish(repo, base, undefined, signal);
  const merged = await merge(repo, base, layers, reader, { ...image, ref, signal });
  forgetLayers(repo);
  return {
    commit: base,
    digest: image.digest,
    merged,
    ref,
    layers: { total, fetched, derived: layers.derived.length },
  };
}

const manifestDigest = (repo: Repo, commit: Checksum): string | undefined =>
  metadataString(repo.loadCommit(commit).metadata, MANIFEST_DIGEST_KEY);

/** Let go of an image that was pulled. */
export function forgetImage(repo: Repo, source: string): void {
  repo.setRef(imageRef(source), null);
  forgetLayers(repo);
}

/** Drop the refs of layers that no pulled image has any more; their objects go with the next prune. */
function forgetLayers(repo: Repo): void {
  const wanted = new Set<string>();
  for (const commit of repo.listRefs({ prefix: IMAGE_PREFIX }).values()) {
    const text = metadataString(repo.loadCommit(commit).metadata, MANIFEST_KEY);
    if (text === undefined) continue;
    for (const { digest } of parseManifest(Buffer.from(text)).layers) wanted.add(layerRef(digest));
  }
  for (const name of repo.listRefs({ prefix: LAYER_PREFIX }).keys()) if (!wanted.has(name)) repo.setRef(name, null);
}

/** The commit that a layer's content is kept by: one folder with the objects as files named after them. */
function writeObjectSet(transaction: Transaction, files: readonly Checksum[]): Checksum {
  const listing = [...new Set(files)].sort().map((checksum) => ({ name: checksum, checksum }));
  const tree = transaction.writeMetadata('dirtree', serializeDirTree({ files: listing, dirs: [] }));
  const plain = { uid: 0, gid: 0, mode: S_IFDIR | 0o755, xattrs: [] };
  const meta = transaction.writeMetadata('dirmeta', serializeDirMeta(plain));
  const commit = { metadata: new Map(), parent: null, subject: '', body: '', timestamp: 0, tree, meta };
  return transaction.writeMetadata('commit', serializeCommit(commit));
}

interface MergeOptions {
  digest: string;
  manifestText: string;
  configText: string;
  config: ImageConfig;
  ref: string;
  signal?: AbortSignal | undefined;
}

async function merge(
  repo: Repo,
  base: Checksum,
  layers: Layers,
  reader: ImageSource,
  options: MergeOptions,
): Promise<Checksum> {
  const { config, ref, signal } = options;
  const before = repo.loadCommit(base);
  const metadata: Metadata = new Map(before.metadata);
  metadata.set(MANIFEST_DIGEST_KEY, stringVariant(options.digest));
  metadata.set(MANIFEST_KEY, stringVariant(options.manifestText));
  metadata.set(CONFIG_KEY, stringVariant(options.configText));
  const created = Date.parse(config.created ?? '');
  const timestamp = Number.isNaN(created) ? before.timestamp : Math.floor(created / 1000);
  if (layers.derived.length === 0) {
    await using transaction = await repo.begin({ signal });
    const commit = transaction.writeMetadata(
      'commit',
      serializeCommit({ ...before, metadata, parent: null, timestamp }),
    );
    transaction.setRef(ref, commit);
    await transaction.commit();
    return commit;
  }
  using policy = await openCommitPolicy(repo, base);
  const { commit } = await applyChangeset(repo, {
    base,
    changes: layers.derived.map(({ descriptor }) => derivedChanges(repo, reader.blob(descriptor), signal)),
    map: placeInTree,
    ...(policy === null ? {} : { label: (path: string, mode: number) => policy.label(path, mode) }),
    branch: ref,
    parent: null,
    timestamp,
    metadata,
    signal,
  });
  return commit;
}

/** Throws `corrupt` unless all content of a commit is here: an image may say more than its layers hold. */
function requireWhole(repo: Repo, commit: Checksum): void {
  for (const entry of descendants(repo, treeRoot(repo, commit))) {
    const there =
      entry.kind === 'directory' ? repo.hasObject('dirmeta', entry.meta) : repo.hasObject('file', entry.checksum);
    if (!there) throw corrupt(`the image has no content for ${entry.path}`);
  }
}

/** The commit is whole: say so, and let the ref point to it. */
async function finish(repo: Repo, commit: Checksum, ref: string | undefined, signal?: AbortSignal): Promise<void> {
  await using transaction = await repo.begin({ signal });
  transaction.clearPartial(commit);
  if (ref !== undefined) transaction.setRef(ref, commit);
  await transaction.commit();
}
