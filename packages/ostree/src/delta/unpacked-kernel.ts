import { type ByteSource, Spool } from './bytes.ts';
import { type PackedKernel, unpackKernel } from './kernel-image.ts';

const PIECE = 1 << 20;

function copy(from: ByteSource, start: number, end: number, to: Spool): void {
  for (let at = start; at < end; at += PIECE) to.write(Buffer.from(from.read(at, Math.min(PIECE, end - at))));
}

/** A kernel image as it is compared: what is packed within, then what stands before and behind that in the file. */
export function openUnpacked(file: ByteSource, kernel: PackedKernel, folder: string, limit: number): Spool {
  const spool = new Spool(folder);
  try {
    for (const block of unpackKernel(file, kernel)) {
      if (spool.size + block.length > limit) throw new RangeError('a packed kernel is too large');
      spool.write(block);
    }
    copy(file, 0, kernel.start, spool);
    copy(file, kernel.start + kernel.length, file.size, spool);
    return spool;
  } catch (error) {
    spool[Symbol.dispose]();
    throw error;
  }
}
