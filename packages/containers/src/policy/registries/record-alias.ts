import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { FileLock, type LockOptions } from '@atomic/linux';
import { replaceFile } from '@atomic/ostree';
import { stringify } from 'smol-toml';
import { readSettings } from './load-registries.ts';
import { parseRegistriesFile } from './parse-registries.ts';

/**
 * Records what a short name was chosen to mean, where podman records it too, so that it is not asked again. Both are
 * without tag. Throws `invalid` when the file is none of aliases.
 */
export async function recordAlias(file: string, short: string, target: string, lock: LockOptions = {}): Promise<void> {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  using _held = await FileLock.acquire(`${file}.lock`, 'exclusive', lock);
  const { aliases } = parseRegistriesFile(readSettings(file) ?? '', file, { dropIn: true });
  const all = Object.fromEntries([...aliases].map(([name, alias]) => [name, alias.target ?? '']));
  const text = stringify({ aliases: { ...all, [short]: target } });
  parseRegistriesFile(text, file, { dropIn: true });
  replaceFile(file, text, { mode: 0o600 });
}
