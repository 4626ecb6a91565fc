import { readFileSync } from 'node:fs';
import { AtomicError } from '@atomic/ostree';
import type { BundleRequest } from './request.ts';

const STANDARD_PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * What a container's first process finds in its environment: what the image says, then files, then the unit's own; of
 * one name the last. A name alone takes the service's value, and is left out without one. Throws `not-found`.
 */
export function environmentOf(
  { env, envFile }: Pick<BundleRequest, 'env' | 'envFile'>,
  image: readonly string[],
  own: NodeJS.ProcessEnv,
): string[] {
  const values = new Map<string, string>();
  for (const line of [STANDARD_PATH, ...image, ...envFile.flatMap(linesOf), ...env]) {
    const at = line.indexOf('=');
    const name = at === -1 ? line : line.slice(0, at);
    const value = at === -1 ? own[name] : line.slice(at + 1);
    if (value !== undefined) values.set(name, value);
  }
  return [...values].map(([name, value]) => `${name}=${value}`);
}

/** Lines of a file as engines read one: nothing in it is quoted, `#` begins a comment. */
function linesOf(path: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new AtomicError('not-found', `EnvironmentFile=${path} cannot be read`, { cause });
  }
  return text
    .split(/\r?\n/)
    .map((line) => line.trimStart())
    .filter((line) => line !== '' && !line.startsWith('#'));
}
