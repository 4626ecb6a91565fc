import { syscall } from './libc.ts';

// malloc.h
const M_MMAP_THRESHOLD = -3;

const mallopt = syscall('mallopt', 'int mallopt(int parameter, int value)');

/**
 * Makes this process give back memory in blocks of more than `bytes` as soon as it is freed. Left alone, glibc keeps
 * what it once saw freed for the next use, up to 32 MiB a block, and large work holds half as much again as it needs.
 * Does nothing where the C library knows no such setting.
 */
export function returnLargeBlocks(bytes: number): void {
  try {
    mallopt('malloc', M_MMAP_THRESHOLD, bytes);
  } catch {
    // Memory use is all this is about.
  }
}
