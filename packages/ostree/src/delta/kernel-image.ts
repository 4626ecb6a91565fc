import { haveLz4, lz4Pack, lz4Unpack } from '@atomic/linux';
import { AtomicError, corrupt } from '../error.ts';
import type { ByteSource } from './bytes.ts';

/*
 * A Linux kernel for x86 is a small program with the real kernel packed inside. Two packed kernels have little in
 * common even where the kernels differ little, so a delta compares what is inside and packs it again. That works where
 * packing gives the very same bytes, which is tried when the delta is made: for LZ4, as in Debian's cloud kernels.
 */

/** Where the packed kernel lies in the file. */
export interface PackedKernel {
  start: number;
  length: number;
}

// linux/Documentation/arch/x86/boot.rst: offsets in the header of a bzImage.
const SETUP_SECTORS = 0x1f1;
const MAGIC = 0x202;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
/** `lz4 -l`: the magic, then blocks, each of 8 MiB unpacked and after its packed size. */
const LEGACY_MAGIC = 0x184c2102;
const BLOCK = 8 << 20;
/** The kernel's own build uses `lz4 -l -9`. */
const LEVEL = 9;
/** What follows the blocks: the unpacked size. */
const TRAILER = 4;

/** Finds the packed kernel in a bzImage with LZ4; null for every other file, or without the system's liblz4. */
export function findPackedKernel(file: ByteSource): PackedKernel | null {
  if (file.size < 4096) return null;
  const head = file.read(0, 1024);
  if (head.toString('latin1', MAGIC, MAGIC + 4) !== 'HdrS') return null;
  const start = ((head[SETUP_SECTORS] ?? 0) + 1) * 512 + head.readUInt32LE(PAYLOAD_OFFSET);
  const length = head.readUInt32LE(PAYLOAD_LENGTH) - TRAILER;
  if (length < 8 || start + length > file.size || file.read(start, 4).readUInt32LE() !== LEGACY_MAGIC) return null;
  return haveLz4() ? { start, length } : null;
}

/** The kernel within, block by block; throws `corrupt`. */
export function* unpackKernel(file: ByteSource, { start, length }: PackedKernel): Generator<Buffer> {
  if (start + length > file.size) throw corrupt('a packed kernel is cut short');
  for (let at = start + 4; at < start + length; ) {
    if (at + 4 > start + length) throw corrupt('a packed kernel is cut short');
    const size = file.read(at, 4).readUInt32LE();
    at += 4;
    if (size === 0 || at + size > start + length) throw corrupt('a packed kernel is cut short');
    const block = lz4Unpack(file.read(at, size), Buffer.allocUnsafeSlow(BLOCK));
    if (block === null) throw corrupt('a packed kernel is damaged, or there is no liblz4');
    yield block;
    at += size;
  }
}

/** Packs a kernel as its build did. Throws `unsupported` without the system's liblz4. */
export function* packKernel(content: ByteSource, size: number): Generator<Buffer> {
  const word = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    return bytes;
  };
  yield word(LEGACY_MAGIC);
  for (let at = 0; at < size; at += BLOCK) {
    const block = lz4Pack(content.read(at, Math.min(BLOCK, size - at)), LEVEL);
    if (block === null) throw new AtomicError('unsupported', 'this delta needs liblz4.so.1, which is not installed');
    yield word(block.length);
    yield block;
  }
}
