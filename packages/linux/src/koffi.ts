import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';

export type Koffi = typeof import('koffi');

/**
 * Loads koffi, which calls C libraries. Its own loader reads the program headers of Node's binary to tell the platform's
 * C libraries apart, after a search for itself, and takes 11 ms of processor; here it is glibc, so the native half is
 * looked up and loaded at once, in 2.
 */
export function loadKoffi(): Koffi {
  const require = createRequire(import.meta.url);
  const platform = `${process.platform}-${process.arch}`;
  const native = `node_modules/@koromix/koffi-${platform}/${platform.replace('-', '_')}/koffi.node`;
  for (let folder = dirname(import.meta.filename); folder !== dirname(folder); folder = dirname(folder)) {
    if (existsSync(`${folder}/${native}`)) return require(`${folder}/${native}`);
  }
  // Laid out otherwise: its loader will know.
  return require('koffi');
}
