import { randomUUID } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fsyncPath } from '@atomic/linux';
import { AtomicError, padding, tarHeader } from '@atomic/ostree';
import { type ImageTarget, type SourceManifest, verified } from './source.ts';
import { canonicalJson, type Descriptor, MEDIA, parseIndex, REF_NAME } from './spec.ts';

/** A folder in the OCI image layout, new or with other images in it. */
export class LayoutTarget implements ImageTarget {
  readonly name: string;
  readonly #folder: string;
  readonly #tag: string | undefined;

  constructor(folder: string, tag: string | undefined) {
    this.name = `oci:${folder}${tag === undefined ? '' : `:${tag}`}`;
    this.#folder = folder;
    this.#tag = tag;
  }

  #path({ digest }: Descriptor): string {
    return join(this.#folder, 'blobs/sha256', digest.slice('sha256:'.length));
  }

  async hasBlob(descriptor: Descriptor): Promise<boolean> {
    const found = await stat(this.#path(descriptor)).catch(() => undefined);
    return found?.size === descriptor.size;
  }

  async putBlob(descriptor: Descriptor, open: () => AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<void> {
    await mkdir(join(this.#folder, 'blobs/sha256'), { recursive: true });
    await writeWhole(this.#path(descriptor), verified(descriptor, open()), signal);
  }

  async putManifest(manifest: SourceManifest): Promise<void> {
    const { digest, mediaType, bytes } = manifest;
    const descriptor: Descriptor = { mediaType, digest, size: bytes.length };
    await this.putBlob(descriptor, () => once(bytes));
    const index = join(this.#folder, 'index.json');
    const before = existsSync(index) ? parseIndex(await readFile(index)).manifests : [];
    const others = before.filter((one) => one.annotations?.[REF_NAME] !== this.#tag);
    const named = this.#tag === undefined ? descriptor : { ...descriptor, annotations: { [REF_NAME]: this.#tag } };
    await writeFile(join(this.#folder, 'oci-layout'), canonicalJson({ imageLayoutVersion: '1.0.0' }));
    const value = { schemaVersion: 2, mediaType: MEDIA.index, manifests: [...others, named] };
    await writeWhole(index, once(canonicalJson(value)));
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** Writes a file that is there whole or not at all. */
export async function writeWhole(path: string, bytes: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  try {
    await using file = await open(aside, 'wx', 0o644);
    for await (const chunk of bytes) {
      signal?.throwIfAborted();
      await file.writeFile(chunk);
    }
    await file.sync();
    await rename(aside, path);
    fsyncPath(dirname(path));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOSPC')
      throw new AtomicError('no-space', `no space left to write ${path}`, { cause: error });
    throw error;
  } finally {
    await rm(aside, { force: true });
  }
}

/** A member of an archive that is to be written. */
export interface ArchiveMember {
  name: string;
  size: number;
  open: () => AsyncIterable<Uint8Array>;
}

/** A tar archive of plain files, always the same for the same files. */
export async function* archiveOf(members: Iterable<ArchiveMember>): AsyncGenerator<Uint8Array> {
  for (const { name, size, open } of members) {
    yield tarHeader({ name, kind: 'file', mode: 0o644, uid: 0, gid: 0, size, mtime: 0 });
    yield* open();
    yield padding(size);
  }
  yield Buffer.alloc(1024);
}

/** The files of a layout, for {@link archiveOf}. */
export async function layoutMembers(folder: string): Promise<ArchiveMember[]> {
  const names = (await readdir(join(folder, 'blobs/sha256'))).sort().map((name) => `blobs/sha256/${name}`);
  const all = ['oci-layout', 'index.json', ...names];
  return await Promise.all(
    all.map(async (name) => {
      const path = join(folder, name);
      return { name, size: (await stat(path)).size, open: () => createReadStream(path, { highWaterMark: 1 << 18 }) };
    }),
  );
}

/** An image for {@link archiveOf} as `docker save` writes it. Layers are uncompressed, the lowest first. */
export function dockerMembers(
  names: readonly string[],
  config: Buffer,
  id: string,
  layers: readonly { diffId: string; size: number; open: () => AsyncIterable<Uint8Array> }[],
): ArchiveMember[] {
  const hex = (digest: string) => digest.slice('sha256:'.length);
  const path = ({ diffId }: { diffId: string }) => `${hex(diffId)}.tar`;
  const unique = new Map(layers.map((layer) => [layer.diffId, layer]));
  const manifest = canonicalJson([{ Config: `${hex(id)}.json`, Layers: layers.map(path), RepoTags: names }]);
  return [
    { name: `${hex(id)}.json`, size: config.length, open: () => once(config) },
    ...[...unique.values()].map((layer) => ({ name: path(layer), size: layer.size, open: layer.open })),
    { name: 'manifest.json', size: manifest.length, open: () => once(manifest) },
  ];
}
