import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { openSource, parseImageReference, readImage } from '@atomic/oci';
import {
  AtomicError,
  applyChangeset,
  type Change,
  lookup,
  type Metadata,
  Repo,
  readLayer,
  stringVariant,
} from '@atomic/ostree';
import { placeInTree } from './derived-layer.ts';
import { type EncapsulateOptions, type EncapsulateResult, encapsulate } from './encapsulate.ts';
import { pullImage } from './import-image.ts';
import { DIFFID_LABEL, VERSION_LABEL } from './labels.ts';

export interface BuildChunkedOptions
  extends Pick<
    EncapsulateOptions,
    'destination' | 'labels' | 'cmd' | 'architecture' | 'maxLayers' | 'compression' | 'previous' | 'signal' | 'progress'
  > {
  /** The root file system: a folder, or an image. */
  source: { rootfs: string } | { image: string };
  /** It can boot: it has a kernel, which the image then names. */
  bootable: boolean;
  /** Unix seconds of the commit and the image; an image's own, or 0, when not said. */
  timestamp?: number | undefined;
  /** Folder for the repository in between. */
  scratch: string;
}

/**
 * Make a bootable container of any root file system, however it was built: it is committed to a repository made for
 * this, and written as {@link encapsulate} does. What /var and /tmp hold stays behind, as in any tree. Throws `invalid`
 * for what is no root file system, and when it shall boot and has no kernel.
 */
export async function buildChunked(options: BuildChunkedOptions): Promise<EncapsulateResult> {
  const { source, bootable, signal } = options;
  const scratch = await mkdtemp(join(options.scratch, 'atomic-chunked-'));
  try {
    const repo = Repo.create(join(scratch, 'repo'), { mode: 'archive' });
    await using reader = 'image' in source ? await openSource(parseImageReference(source.image), { signal }) : null;
    const image = reader === null ? null : await readImage(reader);
    const created = Date.parse(image?.config.created ?? '');
    const timestamp = options.timestamp ?? (Number.isNaN(created) ? 0 : Math.floor(created / 1000));
    // In an image that ostree made, files are links to objects beside them: it is pulled as what it is.
    const encapsulated = 'image' in source && image?.config.config?.Labels?.[DIFFID_LABEL] !== undefined;
    const base = encapsulated ? (await pullImage({ repo, source: source.image, signal })).merged : undefined;
    const onSpecial = () => undefined;
    const changes = (): AsyncIterable<Change>[] => {
      if (base !== undefined) return [];
      if ('rootfs' in source) return [readLayer(packed(source.rootfs), { signal, onSpecial })];
      const layers = image?.manifest.layers ?? [];
      return reader === null ? [] : layers.map((layer) => readLayer(reader.blob(layer), { signal, onSpecial }));
    };
    const metadata: Metadata = new Map();
    const version = image?.config.config?.Labels?.[VERSION_LABEL];
    if (version !== undefined) metadata.set('version', stringVariant(version));
    const { commit } = await applyChangeset(repo, {
      base,
      changes: changes(),
      map: placeInRoot,
      bootable,
      timestamp,
      metadata,
      branch: 'rootfs',
      signal,
    });
    requireRootFileSystem(repo, commit);
    return await encapsulate({ ...options, repo, ref: commit });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** A tree's /var is made at boot, so what an image has in it would be lost silently later; here it is left out. */
function placeInRoot(path: string): string | null {
  return path.startsWith('var/') ? null : placeInTree(path);
}

function requireRootFileSystem(repo: Repo, commit: string): void {
  try {
    lookup(repo, commit, '/usr/lib');
  } catch (cause) {
    throw new AtomicError('invalid', 'that is no root file system: it has no /usr/lib', { cause });
  }
}

/** A folder as a tar archive, with all that GNU tar knows of a file. */
async function* packed(folder: string): AsyncGenerator<Uint8Array> {
  const kept = ['--sort=name', '--numeric-owner', '--xattrs', '--xattrs-include=*', '--one-file-system'];
  const child = spawn('tar', [...kept, '--format=posix', '-C', folder, '-c', '.'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let errors = '';
  child.stderr.on('data', (data: Buffer) => {
    if (errors.length < 2000) errors += data.toString();
  });
  const ended = new Promise<number | null>((done, fail) => {
    child.on('close', done);
    child.on('error', fail);
  });
  for await (const chunk of child.stdout) yield Buffer.from(chunk);
  const status = await ended;
  if (status === 0) return;
  // The first line says what it was; the last of tar's is that it gives up.
  const why =
    errors
      .trim()
      .split('\n')[0]
      ?.replace(/^tar: /, '') || `tar ended with status ${status}`;
  throw new AtomicError('failed', `cannot read ${folder}: ${why}`);
}
