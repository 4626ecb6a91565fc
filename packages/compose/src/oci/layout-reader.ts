import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import {
  type Descriptor,
  type ImageConfig,
  isIndex,
  type Manifest,
  parseConfig,
  parseIndex,
  parseManifest,
} from '@atomic/oci';
import { AtomicError, archiveEntries, corrupt } from '@atomic/ostree';
import type { ImageReference } from './reference.ts';
import { requireSkopeo, skopeoCopy } from './skopeo.ts';

/** Metadata of an image is small. */
const MAX_JSON = 4 << 20;
const BLOB = /^(?:\.\/)?(oci-layout|index\.json|blobs\/sha256\/[0-9a-f]{64})$/;

/** An image to read, from a folder in the OCI layout. Blobs are checked against their digests as they are read. */
export class LayoutReader implements AsyncDisposable {
  readonly #folder: string;
  readonly #scratch: string | undefined;
  readonly #tag: string | undefined;

  private constructor(folder: string, scratch: string | undefined, tag: string | undefined) {
    this.#folder = folder;
    this.#scratch = scratch;
    this.#tag = tag;
  }

  /** Open an image where it is; archives are unpacked, and what skopeo reaches is copied, to a folder that disposing removes. */
  static async open(reference: ImageReference, signal?: AbortSignal): Promise<LayoutReader> {
    if (reference.transport === 'oci') return new LayoutReader(reference.path, undefined, reference.tag);
    const scratch = await mkdtemp(join(tmpdir(), 'atomic-oci-'));
    try {
      const skopeo = reference.transport === 'skopeo';
      if (skopeo) {
        requireSkopeo(reference.name);
        await skopeoCopy(reference.name, `oci:${scratch}`, signal);
      } else await unpack(reference.path, scratch, signal);
      return new LayoutReader(scratch, scratch, skopeo ? undefined : reference.tag);
    } catch (error) {
      await rm(scratch, { recursive: true, force: true });
      throw error;
    }
  }

  /** The image's manifest and configuration. Throws `not-found` and `corrupt`. */
  async image(): Promise<{
    digest: string;
    manifest: Manifest;
    manifestText: string;
    config: ImageConfig;
    configText: string;
  }> {
    const index = parseIndex(await this.#file('index.json'));
    const named = index.manifests.filter(
      ({ annotations }) => this.#tag === undefined || annotations?.['org.opencontainers.image.ref.name'] === this.#tag,
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
    const descriptor = isIndex(first) ? this.#forThisMachine(parseIndex(await this.bytes(first)).manifests) : first;
    const manifestBytes = await this.bytes(descriptor);
    const manifest = parseManifest(manifestBytes);
    const configBytes = await this.bytes(manifest.config);
    const config = parseConfig(configBytes);
    if (config.rootfs.diff_ids.length !== manifest.layers.length)
      throw corrupt(`the image has ${manifest.layers.length} layers and names ${config.rootfs.diff_ids.length}`);
    return {
      digest: descriptor.digest,
      manifest,
      manifestText: manifestBytes.toString('utf8'),
      config,
      configText: configBytes.toString('utf8'),
    };
  }

  #forThisMachine(manifests: readonly Descriptor[]): Descriptor {
    const wanted = process.arch === 'x64' ? 'amd64' : process.arch;
    const found = manifests.find(({ platform }) => platform?.os === 'linux' && platform.architecture === wanted);
    if (found === undefined) throw new AtomicError('not-found', `the image is not there for ${wanted}`);
    return found;
  }

  /** A small blob. Throws `corrupt` unless it is what its digest says. */
  async bytes({ digest, size }: Descriptor): Promise<Buffer> {
    const bytes = await this.#file(this.#blob(digest));
    if (bytes.length !== size || createHash('sha256').update(bytes).digest('hex') !== digest.slice('sha256:'.length))
      throw corrupt(`the blob ${digest} is not what its digest says`);
    return bytes;
  }

  /** A blob's bytes as they come; throws `corrupt` at their end when they were not what the digest says. */
  async *stream({ digest, size }: Descriptor): AsyncGenerator<Uint8Array> {
    const hash = createHash('sha256');
    let left = size;
    const path = join(this.#folder, this.#blob(digest));
    try {
      for await (const chunk of createReadStream(path, { highWaterMark: 1 << 18 })) {
        const bytes: Uint8Array = chunk;
        hash.update(bytes);
        left -= bytes.length;
        if (left < 0) break;
        yield bytes;
      }
    } catch (error) {
      throw missing(digest, error);
    }
    if (left !== 0 || hash.digest('hex') !== digest.slice('sha256:'.length))
      throw corrupt(`the blob ${digest} is not what its digest says`);
  }

  #blob(digest: string): string {
    return `blobs/sha256/${digest.slice('sha256:'.length)}`;
  }

  async #file(name: string): Promise<Buffer> {
    const path = join(this.#folder, name);
    try {
      const { size } = await stat(path);
      if (size > MAX_JSON) throw corrupt(`${name} of the image is ${size} bytes, larger than any that is in order`);
      return await readFile(path);
    } catch (error) {
      throw missing(name, error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#scratch !== undefined) await rm(this.#scratch, { recursive: true, force: true });
  }
}

function missing(what: string, error: unknown): unknown {
  if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) return error;
  return new AtomicError('not-found', `the image has no ${what}`, { cause: error });
}

/** Unpack what an archive has of an image; other names in it are passed over. */
async function unpack(archive: string, folder: string, signal?: AbortSignal): Promise<void> {
  for await (const { path, type, content } of archiveEntries(archive)) {
    signal?.throwIfAborted();
    const name = BLOB.exec(path)?.[1];
    if (name === undefined || type !== 'file') continue;
    const to = join(folder, name);
    await mkdir(dirname(to), { recursive: true });
    await pipeline(content, createWriteStream(to), { signal });
  }
}
