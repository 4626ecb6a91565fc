import { LzmaError, type XzEncoderOptions, XzStream } from '@atomic/linux';
import { AtomicError, corrupt } from '../error.ts';

/** Enough for every preset of xz (9 has a dictionary of 64 MiB), and no more: data from outside says what it wants. */
const MEMORY_LIMIT = 80 << 20;
const PIECE = 1 << 20;

/** liblzma's complaints in our words. */
export function translateLzma(error: unknown): unknown {
  if (!(error instanceof LzmaError)) return error;
  if (error.code === 'missing') {
    return new AtomicError('unsupported', `Static deltas need liblzma: ${error.message}`, { cause: error });
  }
  return corrupt(error.message, error);
}

/**
 * Unpacks one .xz stream given in pieces, handing out pieces of content. Unpacking runs beside the caller's work, on a
 * thread of the pool. Throws `corrupt` for anything but one whole stream, and above `limit` bytes of content.
 */
export async function* unpackXz(
  source: Iterable<Buffer> | AsyncIterable<Buffer>,
  limit: number,
  signal?: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  try {
    using xz = XzStream.decoder(MEMORY_LIMIT);
    let ended = false;
    let size = 0;
    for await (const chunk of source) {
      let input = chunk;
      while (!ended) {
        signal?.throwIfAborted();
        const output = Buffer.allocUnsafeSlow(PIECE);
        const { read, written, ended: done } = await xz.runAsync(input, output, false);
        ended = done;
        input = input.subarray(read);
        size += written;
        if (size > limit) throw corrupt(`a delta part unpacks to more than ${limit} bytes`);
        if (written > 0) yield output.subarray(0, written);
        if (read === 0 && written === 0) break;
        if (input.length === 0 && written < output.length) break;
      }
      if (ended) return;
    }
    throw corrupt('a delta part is cut short');
  } catch (error) {
    throw translateLzma(error);
  }
}

/**
 * Packs content into one .xz stream, piece by piece, on a thread of the pool: several streams are packed side by side.
 */
export async function* packXz(source: Iterable<Buffer>, options: XzEncoderOptions): AsyncGenerator<Buffer> {
  try {
    using xz = XzStream.encoder(options);
    const output = Buffer.allocUnsafeSlow(PIECE >> 2);
    const pump = async function* (input: Buffer, finish: boolean): AsyncGenerator<Buffer> {
      let rest = input;
      for (;;) {
        const { read, written, ended } = await xz.runAsync(rest, output, finish);
        rest = rest.subarray(read);
        if (written > 0) yield Buffer.from(output.subarray(0, written));
        if (ended || (!finish && rest.length === 0 && written < output.length)) return;
      }
    };
    for (const chunk of source) yield* pump(chunk, false);
    yield* pump(Buffer.alloc(0), true);
  } catch (error) {
    throw translateLzma(error);
  }
}
