import { corrupt } from '../error.ts';
import type { ByteReader } from './byte-reader.ts';

/** RFC 8878, sections 3.1.1 and 3.1.2. */
const MAGIC = 0xfd2fb528;
const SKIPPABLE = 0x184d2a50;

/**
 * The frames of a zstd stream, each to be read to its end before the next: Node's decoder takes one frame alone, and
 * images have layers of many (zstd:chunked, pzstd). Frames that carry no data are passed over. Throws `corrupt`.
 */
export async function* zstdFrames(reader: ByteReader): AsyncGenerator<AsyncGenerator<Uint8Array>> {
  for (let magic = await reader.peek(4); magic.length > 0; magic = await reader.peek(4)) {
    if (magic.length < 4) throw corrupt('the archive is cut short');
    const number = magic.readUInt32LE();
    if ((number & ~0xf) >>> 0 === SKIPPABLE) {
      const head = await reader.need(8);
      await reader.skipTo(reader.position + head.readUInt32LE(4));
    } else if (number === MAGIC) yield frame(reader);
    else throw corrupt('the compressed archive is damaged: what follows a zstd frame is none');
  }
}

async function* frame(reader: ByteReader): AsyncGenerator<Uint8Array> {
  const start = Buffer.from(await reader.need(5));
  const descriptor = start[4] ?? 0;
  const single = (descriptor & 0x20) !== 0;
  const dictionary = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const contentSize = [single ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  yield Buffer.concat([start, await reader.need((single ? 0 : 1) + dictionary + contentSize)]);
  for (let last = false; !last; ) {
    const head = Buffer.from(await reader.need(3));
    yield head;
    const block = head.readUIntLE(0, 3);
    last = (block & 1) === 1;
    const type = (block >> 1) & 3;
    if (type === 3) throw corrupt('the compressed archive is damaged: a zstd block of no kind');
    // A block of one byte repeated has that byte alone.
    yield* reader.stream(type === 1 ? 1 : block >> 3);
  }
  if ((descriptor & 4) !== 0) yield Buffer.from(await reader.need(4));
}
