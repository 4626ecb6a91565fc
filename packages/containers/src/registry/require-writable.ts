import { RegistryError } from './registry-error.ts';
import type { Registry } from './registry-options.ts';

/** Throws 405 where nothing may be changed. */
export function requireWritable({ readOnly, cache }: Registry): void {
  if (readOnly) throw new RegistryError(405, 'UNSUPPORTED', 'this registry is read-only');
  if (cache !== undefined)
    throw new RegistryError(405, 'UNSUPPORTED', 'this registry is a cache: push to its upstream');
}
