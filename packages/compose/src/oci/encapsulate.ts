import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import {
  copyImage,
  formatImageReference,
  type LayerCompression,
  LayoutSource,
  LayoutTarget,
  LayoutWriter,
  type Manifest,
  MEDIA,
  openFolder,
  parseImageReference,
  parseIndex,
  REF_NAME,
  requireSkopeo,
  skopeoCopy,
  thisPlatform,
  type WrittenLayer,
} from '@atomic/oci';
import {
  AtomicError,
  asArray,
  asString,
  type Checksum,
  metadataString,
  type Progress,
  type Repo,
} from '@atomic/ostree';
import { machineOf } from '../commit-metadata.ts';
import { run } from '../image/tools.ts';
import { checkOutput, settle } from '../output.ts';
import { commitLayer, contentLayer } from './chunk-tar.ts';
import { componentsOf } from './components.ts';
import {
  BOOTABLE_KEY,
  BOOTC_LABEL,
  COMMIT_LABEL,
  COMPONENTS_ANNOTATION,
  CONTAINER_CMD_KEY,
  DIFFID_LABEL,
  LINUX_KEY,
  VERSION_LABEL,
} from './labels.ts';
import { layerName, planLayers } from './plan-layers.ts';

export interface EncapsulateOptions {
  repo: Repo;
  ref: string;
  /** `oci-archive:FILE[:TAG]`, `oci:FOLDER[:TAG]`, or what skopeo writes to. */
  destination: string;
  /** Labels beside the commit's. */
  labels?: ReadonlyMap<string, string> | undefined;
  /** Metadata of the commit that becomes labels; `copyMetadata` has to be there. */
  copyMetadata?: readonly string[] | undefined;
  copyOptionalMetadata?: readonly string[] | undefined;
  /** What a container of it runs; the commit may say so, else /sbin/init for what can boot. */
  cmd?: readonly string[] | undefined;
  /** By Go's names, such as amd64; the commit's when not said. */
  architecture?: string | undefined;
  /** At most so many layers: 64 when not said. */
  maxLayers?: number | undefined;
  compression?: LayerCompression | undefined;
  /** The manifest of an earlier image of the same tree, whose cut into layers is kept. */
  previous?: Manifest | undefined;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

export interface EncapsulateResult {
  destination: string;
  commit: Checksum;
  /** Of the manifest. */
  digest: string;
  layers: { digest: string; size: number; components: string[] }[];
}

const MAX_LAYERS = 64;
const ARCHITECTURES: Partial<Record<string, string>> = { x64: 'amd64', arm64: 'arm64', riscv64: 'riscv64' };

/**
 * Write a commit as a bootable container image: the commit with its metadata in the first layer, the content by
 * package in the others, labels by which bootc and `ostree container` know it. The same commit and options give the
 * same image, bit for bit. Images of other names in a folder stay. Throws `invalid` for what cannot be, `exists` for a folder of
 * other things, `not-found` for metadata to copy that is not there,
 * `unsupported` when a destination needs skopeo and there is none.
 */
export async function encapsulate(options: EncapsulateOptions): Promise<EncapsulateResult> {
  const { repo, destination, signal } = options;
  const target = parseImageReference(destination);
  const local = target.transport === 'oci' || target.transport === 'oci-archive' ? target : null;
  if (local === null) await requireSkopeo(destination);
  const commit = repo.resolveRev(options.ref);
  const out = local === null ? '.' : await checkOutput(local.path, local.transport === 'oci' ? 'folder' : 'file');
  const others = local?.transport === 'oci' && (await hasOthers(out, local.tag));
  // Beside the result, so that one rename makes it; a registry's image has no result here.
  const near = local === null ? '/var/tmp' : dirname(out);
  const scratch = await mkdtemp(join(near, `.${basename(out)}.`));
  try {
    const layout = join(scratch, 'layout');
    const result = await writeImage(layout, commit, local?.tag, options);
    if (local === null) await skopeoCopy(`oci:${layout}`, formatImageReference(target), { signal });
    else if (others) {
      // Blobs, then the index: the images that are there stay, but for the one of this name.
      await using source = new LayoutSource(destination, openFolder(layout), undefined, thisPlatform());
      await using to = new LayoutTarget(out, local.tag);
      await copyImage(source, to, { signal });
    } else if (local.transport === 'oci') await settle(layout, out);
    else {
      const archive = join(scratch, 'archive');
      const same = [
        '--sort=name',
        '--format=ustar',
        '--owner=root:0',
        '--group=root:0',
        '--mtime=@0',
        '--mode=u=rwX,go=rX',
      ];
      await run('tar', [...same, '-C', layout, '-cf', archive, '.'], { signal });
      await settle(archive, out);
    }
    return { destination, commit, ...result };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Whether a folder has images of other names; throws `exists` for one that has other things. */
async function hasOthers(folder: string, tag: string | undefined): Promise<boolean> {
  const index = join(folder, 'index.json');
  if (existsSync(join(folder, 'oci-layout')))
    return (
      existsSync(index) &&
      parseIndex(await readFile(index)).manifests.some((one) => one.annotations?.[REF_NAME] !== tag)
    );
  if (existsSync(folder) && (await readdir(folder)).length > 0)
    throw new AtomicError('exists', `${folder} is there and holds no images`, {
      hint: 'name a folder that is empty, that has images (a file oci-layout), or that is not there yet',
    });
  return false;
}

async function writeImage(
  folder: string,
  commit: Checksum,
  tag: string | undefined,
  options: EncapsulateOptions,
): Promise<Pick<EncapsulateResult, 'digest' | 'layers'>> {
  const { repo, signal, progress, compression = 'gzip', maxLayers = MAX_LAYERS, previous } = options;
  if (!Number.isSafeInteger(maxLayers) || maxLayers < 2)
    throw new AtomicError('invalid', `an image has at least 2 layers, not ${maxLayers}`);
  const { metadata, subject, timestamp } = repo.loadCommit(commit);
  const labels = labelsOf(commit, options);
  const writer = await LayoutWriter.create(folder);
  const before = previous?.layers.flatMap(({ annotations }) => {
    const components = annotations?.[COMPONENTS_ANNOTATION];
    return components === undefined ? [] : [components.split(',')];
  });
  const planned = planLayers(componentsOf(repo, commit), maxLayers - 1, before);
  const created = new Date(timestamp * 1000).toISOString().replace(/\.\d+Z$/, 'Z');
  const layers: WrittenLayer[] = [await writer.layer(commitLayer(repo, commit), compression, signal)];
  // Compressing happens in other threads, so two at a time keep them busy; more would only take memory.
  const queue = planned.entries();
  const work = async (): Promise<void> => {
    for (const [i, layer] of queue) {
      progress?.({ phase: 'Layers', done: i, total: planned.length, message: layerName(layer) });
      layers[i + 1] = await writer.layer(contentLayer(repo, layer.content), compression, signal);
    }
  };
  await Promise.all([work(), work()]);
  labels.set(DIFFID_LABEL, layers.at(-1)?.diffId ?? '');
  const sorted = Object.fromEntries([...labels].sort(([a], [b]) => (a < b ? -1 : 1)));
  const own = metadata.get(CONTAINER_CMD_KEY);
  const bootable = labels.has(BOOTC_LABEL);
  const cmd =
    options.cmd ?? (own === undefined ? (bootable ? ['/sbin/init'] : undefined) : asArray(own.value).map(asString));
  const machine = machineOf(repo, commit);
  const architecture = options.architecture ?? ARCHITECTURES[machine] ?? machine;
  const description = subject === '' ? `ostree export of commit ${commit}` : subject;
  const config = await writer.json(MEDIA.config, {
    created,
    architecture,
    os: 'linux',
    config: {
      Labels: sorted,
      ...(cmd === undefined ? {} : { Cmd: cmd }),
      // What systemd as a container's first process takes for "power off".
      ...(bootable ? { StopSignal: 'SIGRTMIN+3' } : {}),
    },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    history: [description, ...planned.map(layerName)].map((text) => ({ created, created_by: text })),
  });
  const descriptors = layers.map(({ descriptor }, i) => ({
    ...descriptor,
    ...(i === 0 ? {} : { annotations: { [COMPONENTS_ANNOTATION]: planned[i - 1]?.components.join(',') ?? '' } }),
  }));
  const manifest = await writer.json(MEDIA.manifest, {
    schemaVersion: 2,
    mediaType: MEDIA.manifest,
    config,
    layers: descriptors,
    annotations: sorted,
  });
  await writer.finish({ ...manifest, platform: { architecture, os: 'linux' } }, tag);
  return {
    digest: manifest.digest,
    layers: layers.map(({ descriptor: { digest, size } }, i) => ({
      digest,
      size,
      components: planned[i - 1]?.components ?? [],
    })),
  };
}

function labelsOf(commit: Checksum, options: EncapsulateOptions): Map<string, string> {
  const { metadata } = options.repo.loadCommit(commit);
  const labels = new Map<string, string>();
  for (const key of options.copyMetadata ?? []) {
    const value = metadataString(metadata, key);
    if (value === undefined) throw new AtomicError('not-found', `the commit has no text as its metadata '${key}'`);
    labels.set(key, value);
  }
  for (const key of [...(options.copyOptionalMetadata ?? []), LINUX_KEY]) {
    const value = metadataString(metadata, key);
    if (value !== undefined) labels.set(key, value);
  }
  const bootable = metadata.get(BOOTABLE_KEY)?.value;
  if (typeof bootable === 'boolean') {
    labels.set(BOOTABLE_KEY, String(bootable));
    labels.set(BOOTC_LABEL, '1');
  }
  const version = metadataString(metadata, 'version');
  if (version !== undefined) labels.set(VERSION_LABEL, version).set('version', version);
  labels.set(COMMIT_LABEL, commit);
  for (const [key, value] of options.labels ?? []) labels.set(key, value);
  return labels;
}
