import { loadKoffi } from './koffi.ts';

interface Library {
  unpack(source: Buffer, target: Buffer): number;
  pack(source: Buffer, target: Buffer, level: number): number;
}

let loaded: Library | null | undefined;

function library(): Library | null {
  if (loaded !== undefined) return loaded;
  try {
    const koffi = loadKoffi();
    const lib = koffi.load('liblz4.so.1');
    const unpack = lib.func('int LZ4_decompress_safe(void *source, _Out_ void *target, int size, int capacity)');
    const pack = lib.func('int LZ4_compress_HC(void *source, _Out_ void *target, int size, int capacity, int level)');
    loaded = {
      unpack: (source, target) => Number(unpack(source, target, source.length, target.length)),
      pack: (source, target, level) => Number(pack(source, target, source.length, target.length, level)),
    };
  } catch {
    loaded = null;
  }
  return loaded;
}

/** Whether the system's liblz4 is there; without it the functions below return null. */
export const haveLz4 = (): boolean => library() !== null;

/** Unpacks one LZ4 block into `target`; the bytes it makes, or null when it is damaged or too large. */
export function lz4Unpack(block: Buffer, target: Buffer): Buffer | null {
  const size = library()?.unpack(block, target) ?? -1;
  return size < 0 ? null : target.subarray(0, size);
}

/** Packs content into one LZ4 block, as `lz4 -LEVEL` does from level 3 on. */
export function lz4Pack(content: Buffer, level: number): Buffer | null {
  const target = Buffer.allocUnsafeSlow(content.length + Math.floor(content.length / 255) + 16);
  const size = library()?.pack(content, target, level) ?? 0;
  return size <= 0 ? null : target.subarray(0, size);
}
