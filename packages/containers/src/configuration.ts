import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { parseYaml } from './parse-yaml.ts';

const word = z
  .string()
  .nullish()
  .transform((value) => value || undefined);

// Keys of the original that are not here have no meaning any more; they are no error.
const schema = z.object({
  checkout_path: word,
  default_docker: word,
  default_storage: word,
  default_scanner: word,
  default_signer: word,
  gnupg_homedir: word,
  registry_confdir: word,
  runtime: word,
});

/** What `/etc/atomic.conf` says. */
export type AtomicConfiguration = Partial<z.output<typeof schema>>;

/** Reads `/etc/atomic.conf` (YAML); without the file nothing is configured. Throws `invalid` naming file and key. */
export function readConfiguration(path: string): AtomicConfiguration {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return {};
    throw error;
  }
  return parseYaml(text, path, schema);
}
