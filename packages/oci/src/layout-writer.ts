import { createHash, randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable, Transform, type TransformCallback } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip, createZstdCompress } from 'node:zlib';
import { canonicalJson, type Descriptor, MEDIA, REF_NAME } from './spec.ts';

export type LayerCompression = 'gzip' | 'zstd' | 'none';

export interface WrittenLayer {
  descriptor: Descriptor;
  /** Digest of the tar before compression. */
  diffId: string;
}

/** Passes bytes on, hashing and counting them. */
class Meter extends Transform {
  readonly #hash = createHash('sha256');
  size = 0;

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    this.#hash.update(chunk);
    this.size += chunk.length;
    done(null, chunk);
  }

  hex(): string {
    return this.#hash.digest('hex');
  }
}

/** Writes images into a folder in the OCI image layout; blobs get their names when they are whole. */
export class LayoutWriter {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async create(folder: string): Promise<LayoutWriter> {
    await mkdir(join(folder, 'blobs/sha256'), { recursive: true });
    await writeFile(join(folder, 'oci-layout'), canonicalJson({ imageLayoutVersion: '1.0.0' }));
    return new LayoutWriter(folder);
  }

  /** Write a layer; `tar` is read once. */
  async layer(
    tar: AsyncIterable<Uint8Array>,
    compression: LayerCompression,
    signal?: AbortSignal,
  ): Promise<WrittenLayer> {
    const [plain, packed] = [new Meter(), new Meter()];
    const packer = compression === 'gzip' ? [createGzip()] : compression === 'zstd' ? [createZstdCompress()] : [];
    const aside = join(this.folder, `blobs/sha256/.${randomUUID()}`);
    try {
      await pipeline([Readable.from(tar, { objectMode: false }), plain, ...packer, packed, createWriteStream(aside)], {
        signal,
      });
      const hex = packed.hex();
      await rename(aside, join(this.folder, 'blobs/sha256', hex));
      const mediaType = compression === 'none' ? MEDIA.layer : `${MEDIA.layer}+${compression}`;
      return {
        descriptor: { mediaType, digest: `sha256:${hex}`, size: packed.size },
        diffId: `sha256:${plain.hex()}`,
      };
    } finally {
      await rm(aside, { force: true });
    }
  }

  /** Write a value as a blob of JSON. */
  async json(mediaType: string, value: unknown): Promise<Descriptor> {
    return await this.bytes(mediaType, canonicalJson(value));
  }

  /** Write a blob as it is. */
  async bytes(mediaType: string, bytes: Buffer): Promise<Descriptor> {
    const hex = createHash('sha256').update(bytes).digest('hex');
    await writeFile(join(this.folder, 'blobs/sha256', hex), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
  }

  /** Name the one image of the layout. */
  async finish(manifest: Descriptor, tag: string | undefined): Promise<void> {
    const annotations = tag === undefined ? {} : { annotations: { [REF_NAME]: tag } };
    const index = { schemaVersion: 2, mediaType: MEDIA.index, manifests: [{ ...manifest, ...annotations }] };
    await writeFile(join(this.folder, 'index.json'), canonicalJson(index));
  }
}
