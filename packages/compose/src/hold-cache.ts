import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { FileLock } from '@atomic/linux';
import { plainError } from './compose-errors.ts';

export interface CacheOptions {
  /** kept between composes: package lists, packages, installed roots, initramfs images */
  cachedir: string;
  /** wait for another compose with the same cache (the default) or fail */
  wait?: boolean | undefined;
  onWait?: ((message: string) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** Does something with the cache folder held, which is made if need be: composes with one cache wait for one another. */
export async function holdCache<T>(options: CacheOptions, work: (cachedir: string) => Promise<T>): Promise<T> {
  const cachedir = resolve(options.cachedir);
  try {
    mkdirSync(cachedir, { recursive: true });
    using _lock = await FileLock.acquire(join(cachedir, 'lock'), 'exclusive', {
      wait: options.wait,
      signal: options.signal,
      onWait: options.onWait,
    });
    return await work(cachedir);
  } catch (error) {
    throw plainError(error, cachedir, options.signal);
  }
}
