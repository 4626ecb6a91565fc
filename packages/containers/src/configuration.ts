import { readFileSync } from 'node:fs';
import { AtomicError } from '@atomic/ostree';
import { parse } from 'yaml';
import { z } from 'zod';

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
  let value: unknown;
  try {
    value = parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : '';
    throw new AtomicError('invalid', `${path} is not YAML: ${why}`, { cause });
  }
  const result = schema.safeParse(value ?? {});
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new AtomicError('invalid', `${path}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'malformed'}`);
}
