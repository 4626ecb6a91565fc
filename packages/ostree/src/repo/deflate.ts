import { constants, deflateRawSync } from 'node:zlib';

const WINDOW = 32 * 1024;

/** Raw deflate of a whole content. A window no larger than the content spares zlib most of its set-up for small files. */
export function deflateWhole(content: Uint8Array, level: number): Buffer {
  const windowBits = Math.min(15, Math.max(9, Math.ceil(Math.log2(content.length + 1))));
  // Room for the result in one piece: the usual 16 KiB for each small file is garbage faster than it is collected.
  const chunkSize = Math.min(1 << 16, Math.max(64, content.length + (content.length >> 8) + 64));
  return deflateRawSync(content, { level, windowBits, memLevel: Math.min(8, windowBits - 6), chunkSize });
}

/**
 * Raw deflate of a content that comes piece by piece, without a stream: each piece but the last is flushed to a byte
 * boundary, and the next begins with the last 32 KiB of this one as its dictionary, so the pieces joined are one
 * deflate stream of nearly the usual size.
 */
export class PieceDeflater {
  readonly #level: number;
  #before: Buffer | undefined;

  constructor(level: number) {
    this.#level = level;
  }

  /** Compresses the next piece. */
  add(piece: Uint8Array): Buffer {
    const packed = this.#deflate(piece, constants.Z_SYNC_FLUSH);
    const tail = piece.subarray(Math.max(0, piece.length - WINDOW));
    this.#before = Buffer.from(tail); // a copy: the caller may use the piece's memory again
    return packed;
  }

  /** The end of the stream. */
  end(): Buffer {
    return this.#deflate(Buffer.alloc(0), constants.Z_FINISH);
  }

  #deflate(piece: Uint8Array, finishFlush: number): Buffer {
    const dictionary = this.#before;
    return deflateRawSync(piece, {
      level: this.#level,
      finishFlush,
      ...(dictionary === undefined || dictionary.length === 0 ? {} : { dictionary }),
    });
  }
}
