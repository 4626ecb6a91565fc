import { createWriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import { constants, createZstdCompress, createZstdDecompress } from 'node:zlib';
import { ByteReader, type Checksum, corrupt } from '@atomic/ostree';

/**
 * What of a tar archive is not content of files (headers, padding, the end), and where content goes: with it and a
 * the objects of the files the archive comes back bit for bit. Kept compressed, as a stream of records: a byte for the
 * kind, the length as four bytes (raw) or six (content), then the raw bytes or the 32 bytes of the object's checksum.
 */
export type SplitRecord = { kind: 'raw'; bytes: Buffer } | { kind: 'content'; size: number; checksum: Checksum };

const RAW = 0;
const CONTENT = 1;
/** Records are written together. */
const GATHER = 1 << 16;
const MAX_RAW = 64 << 20;

/** Takes an archive apart as it is read: it is fed all bytes, and told which of them are content before they come. */
export class SplitWriter {
  readonly #packer = createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 6 } });
  readonly #done: Promise<void>;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  /** Position in the archive of the first pending byte. */
  #at = 0;
  /** Content bytes still to come, which are passed over. */
  #skip = 0;
  #out: Buffer[] = [];
  #outBytes = 0;

  constructor(path: string) {
    const file = createWriteStream(path, { flags: 'wx', mode: 0o600 });
    this.#packer.pipe(file);
    this.#packer.on('error', (error) => file.destroy(error));
    this.#done = finished(file);
    // It is awaited at the end; until then nobody is there to hear of it.
    this.#done.catch(() => undefined);
  }

  feed(chunk: Uint8Array): void {
    let bytes = chunk;
    if (this.#skip > 0) {
      const skipped = Math.min(this.#skip, bytes.length);
      this.#skip -= skipped;
      this.#at += skipped;
      bytes = bytes.subarray(skipped);
    }
    if (bytes.length === 0) return;
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    if (this.#pendingBytes > MAX_RAW) throw corrupt('the layer has more headers than files');
  }

  /** The next content is `size` bytes from `start` on: it is passed over when it comes. */
  contentAt(start: number, size: number): void {
    this.#raw(start - this.#at);
    const all = this.#pending;
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#skip = size;
    for (const chunk of all) this.feed(chunk);
  }

  /** The object that content went to. */
  content(checksum: Checksum, size: number): void {
    if (size === 0) return;
    const record = Buffer.alloc(39);
    record[0] = CONTENT;
    record.writeUIntLE(size, 1, 6);
    record.write(checksum, 7, 'hex');
    this.#put(record);
  }

  #raw(length: number): void {
    let left = length;
    const taken: Uint8Array[] = [];
    while (left > 0) {
      const first = this.#pending.shift();
      if (first === undefined) throw new Error('content before the bytes ahead of it');
      const part = first.subarray(0, left);
      if (part.length < first.length) this.#pending.unshift(first.subarray(part.length));
      taken.push(part);
      left -= part.length;
    }
    this.#pendingBytes -= length;
    this.#at += length;
    if (length === 0) return;
    const head = Buffer.alloc(5);
    head[0] = RAW;
    head.writeUInt32LE(length, 1);
    this.#put(head, ...taken.map((part) => Buffer.from(part)));
  }

  #put(...parts: Buffer[]): void {
    for (const part of parts) {
      this.#out.push(part);
      this.#outBytes += part.length;
    }
    if (this.#outBytes >= GATHER) this.#flush();
  }

  #flush(): void {
    this.#packer.write(Buffer.concat(this.#out));
    this.#out = [];
    this.#outBytes = 0;
  }

  /** Everything ahead of a position is written, as what has no content in it; a promise while the disk is behind. */
  upTo(position: number): Promise<void> | undefined {
    if (position > this.#at && this.#skip === 0) this.#raw(position - this.#at);
    if (!this.#packer.writableNeedDrain) return undefined;
    return new Promise((resolve, reject) => {
      this.#packer.once('drain', resolve);
      this.#done.catch(reject);
    });
  }

  /** Writes what is left, and the file is whole. */
  async end(): Promise<void> {
    this.#raw(this.#pendingBytes);
    this.#flush();
    this.#packer.end();
    await this.#done;
  }

  destroy(): void {
    this.#packer.destroy();
  }
}

/** The records of a split archive. Throws `corrupt`. */
export async function* readSplit(source: AsyncIterable<Uint8Array>): AsyncGenerator<SplitRecord> {
  const unpacked = createZstdDecompress({ chunkSize: 1 << 16 });
  const fed = (async () => {
    for await (const chunk of source) {
      if (!unpacked.write(chunk)) await new Promise((resolve) => unpacked.once('drain', resolve));
    }
    unpacked.end();
  })();
  fed.catch((error: unknown) => unpacked.destroy(error instanceof Error ? error : new Error(String(error))));
  await using reader = new ByteReader(unpacked);
  for (let kind = await reader.read(1); kind !== null; kind = await reader.read(1)) {
    if (kind[0] === RAW) {
      const length = (await reader.need(4)).readUInt32LE();
      for await (const bytes of reader.stream(length)) yield { kind: 'raw', bytes };
    } else if (kind[0] === CONTENT) {
      const record = await reader.need(38);
      yield { kind: 'content', size: record.readUIntLE(0, 6), checksum: record.toString('hex', 6) };
    } else throw corrupt('the description of a layer is damaged');
  }
}
