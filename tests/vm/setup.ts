import { join } from 'node:path';
import { ROOT } from '../../demo/host.ts';
import type { Reporter } from '../../demo/report.ts';

const cache = process.env['ATOMIC_TEST_CACHE'] ?? join(ROOT, 'build');

/** Packages and roots, shared with `make demo`. */
export const cachedir = join(cache, 'cache');

/** The repository of the demonstration's two versions: the same commits whoever composes them. */
export const stateFolder = (name: string): string => join(cache, 'test', name);

/** Keeps what is said, for when a test fails. */
export function testReporter(log: string[]): Reporter {
  return {
    step: (letter, title) => void log.push(`[${letter}] ${title}`),
    command: (where, line) => void log.push(`${where}: ${line}`),
    note: (text) => void log.push(text),
    ok: (what) => void log.push(`ok ${what}`),
  };
}
