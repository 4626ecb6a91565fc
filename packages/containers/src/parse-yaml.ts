import { AtomicError } from '@atomic/ostree';
import { parse } from 'yaml';
import type { z } from 'zod';

/**
 * The value of a YAML file (nothing at all is an empty mapping) in the form a schema asks for. `what` names the file in
 * messages. Throws `invalid` naming file, key and reason.
 */
export function parseYaml<T extends z.ZodType>(text: string, what: string, schema: T, hint?: string): z.output<T> {
  let value: unknown;
  try {
    value = parse(text) ?? {};
  } catch (cause) {
    const why = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause);
    throw new AtomicError('invalid', `${what} is not YAML: ${why}`, { cause });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  // Keys may be names of hosts: dots would not tell where one ends.
  const key = issue?.path.join(' → ') || 'the file';
  throw new AtomicError('invalid', `${what}: ${key}: ${issue?.message ?? 'malformed'}`, { hint });
}
