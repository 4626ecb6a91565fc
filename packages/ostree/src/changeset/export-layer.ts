import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { Readable, type Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createGzip, createZstdCompress } from 'node:zlib';
import type { Checksum } from '../objects/checksum.ts';
import type { Repo } from '../repo/repo.ts';
import { writeFully } from '../repo/store-content.ts';
import type { Change } from './change.ts';
import { type WriteLayerOptions, writeLayer } from './write-layer.ts';

export type LayerCompression = 'none' | 'gzip' | 'zstd';

export interface WrittenLayer {
  /** SHA-256 of the archive before compression: the `diff_id` in an image's configuration. */
  diffId: Checksum;
  /** SHA-256 of the file: the digest in its manifest. */
  digest: Checksum;
  /** Bytes of the file. */
  size: number;
  /** For the manifest (OCI image specification, media-types.md). */
  mediaType: string;
}

const MEDIA_TYPE = 'application/vnd.oci.image.layer.v1.tar';

/** Writes changes as a layer to a file, which is there whole or not at all. See {@link writeLayer} for errors. */
export async function exportLayer(
  repo: Repo,
  changes: AsyncIterable<Change>,
  path: string,
  options: WriteLayerOptions & { compression?: LayerCompression | undefined; signal?: AbortSignal | undefined } = {},
): Promise<WrittenLayer> {
  const compression = options.compression ?? 'none';
  const [plain, packed] = [createHash('sha256'), createHash('sha256')];
  async function* archive(): AsyncGenerator<Uint8Array> {
    for await (const piece of writeLayer(repo, changes, options)) {
      plain.update(piece);
      yield piece;
    }
  }
  const aside = join(dirname(path), `.${basename(path)}.${process.pid}`);
  let size = 0;
  try {
    rmSync(aside, { force: true });
    const fd = openSync(aside, 'wx', 0o644);
    const write = async (pieces: AsyncIterable<Uint8Array>): Promise<void> => {
      for await (const piece of pieces) {
        packed.update(piece);
        size += piece.length;
        writeFully(fd, piece);
      }
      fsyncSync(fd);
    };
    const compressor = compressorOf(compression);
    const signal = options.signal === undefined ? {} : { signal: options.signal };
    try {
      if (compressor === null) await write(archive());
      else await pipeline(Readable.from(archive(), { objectMode: false }), compressor, write, signal);
    } finally {
      closeSync(fd);
    }
    renameSync(aside, path);
  } finally {
    rmSync(aside, { force: true });
  }
  const mediaType = compression === 'none' ? MEDIA_TYPE : `${MEDIA_TYPE}+${compression}`;
  return { diffId: plain.digest('hex'), digest: packed.digest('hex'), size, mediaType };
}

function compressorOf(compression: LayerCompression): Transform | null {
  if (compression === 'none') return null;
  if (compression === 'gzip') return createGzip({ level: 6, chunkSize: 1 << 18 });
  return createZstdCompress({ chunkSize: 1 << 18, params: { [constants.ZSTD_c_compressionLevel]: 10 } });
}
