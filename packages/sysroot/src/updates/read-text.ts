import { readFileSync } from 'node:fs';
import { errnoCode } from '@atomic/linux';

/** A small text file, or null where there is none. */
export function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return null;
    throw error;
  }
}
