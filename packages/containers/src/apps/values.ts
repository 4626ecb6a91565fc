import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';
import { type AppManifest, canonical, type Parameter, whyNot } from './manifest.ts';

/** A value of a parameter and where it comes from. A secret's value is the digest of what it is. */
export const appValue = z.object({ value: z.string(), from: z.enum(['default', 'set']) });
export type AppValue = z.output<typeof appValue>;

export interface Values {
  values: Readonly<Record<string, AppValue>>;
  /** Contents of the secrets. */
  secrets: ReadonlyMap<string, Buffer>;
}

export interface ValueSources {
  /** `--set NAME=VALUE` of this time; of a secret the path of its file. */
  set: ReadonlyMap<string, string>;
  /** Those back to the default. */
  unset?: readonly string[] | undefined;
  /** What was set before. */
  saved?: Readonly<Record<string, AppValue>> | undefined;
  savedSecret?: ((name: string) => Buffer | undefined) | undefined;
}

const MAX_SECRET = 1 << 20;

/** Parses `NAME=VALUE`. Throws `usage`. */
export function parseSet(words: readonly string[]): Map<string, string> {
  return new Map(
    words.map((word) => {
      const equals = word.indexOf('=');
      if (equals > 0) return [word.slice(0, equals), word.slice(equals + 1)];
      throw new AtomicError('usage', `--set ${word}: it must be NAME=VALUE`);
    }),
  );
}

/** Settles each parameter's value: what is set now, what was set before, the default. Throws `usage`. */
export function settleValues(manifest: AppManifest, sources: ValueSources): Values {
  const { set, unset = [], saved = {}, savedSecret } = sources;
  const values: Record<string, AppValue> = {};
  const secrets = new Map<string, Buffer>();
  const all = Object.entries(manifest.parameters);
  for (const name of [...set.keys(), ...unset]) {
    if (Object.hasOwn(manifest.parameters, name)) continue;
    const known = all.map(([one]) => one).join(', ');
    throw new AtomicError('usage', `${manifest.name} has no parameter ${name}`, {
      hint: known === '' ? 'it has none at all' : `it has ${known}`,
    });
  }
  for (const [name, parameter] of all) {
    const given = set.get(name);
    const before = unset.includes(name) || saved[name]?.from !== 'set' ? undefined : saved[name].value;
    if (parameter.type === 'secret') {
      const content =
        given === undefined ? (before === undefined ? undefined : savedSecret?.(name)) : readSecret(name, given);
      if (content === undefined) {
        if (parameter.optional === true) continue;
        throw missing(name, parameter, `--set ${name}=FILE`);
      }
      secrets.set(name, content);
      values[name] = { value: `sha256:${createHash('sha256').update(content).digest('hex')}`, from: 'set' };
      continue;
    }
    const fallback = parameter.default === undefined ? undefined : String(parameter.default);
    const value = given ?? before ?? fallback;
    if (value === undefined) throw missing(name, parameter, `--set ${name}=…`);
    const why = whyNot(parameter, value);
    if (why !== undefined) {
      const hint =
        given === undefined && before !== undefined ? `it was set for an older version: --set ${name}=…` : undefined;
      throw new AtomicError('usage', `the parameter ${name} ${why}`, { hint });
    }
    values[name] = { value: canonical(parameter, value), from: (given ?? before) ? 'set' : 'default' };
  }
  return { values, secrets };
}

function missing(name: string, { description }: Parameter, hint: string): AtomicError {
  return new AtomicError(
    'usage',
    `the parameter ${name} has to be set${description === undefined ? '' : ` (${description})`}`,
    {
      hint,
    },
  );
}

function readSecret(name: string, path: string): Buffer {
  let content: Buffer;
  try {
    content = readFileSync(path);
  } catch (error) {
    throw new AtomicError('usage', `the secret ${name} cannot be read from ${path}: ${String(error)}`, {
      hint: 'a secret is given as the path of a file that holds it',
      cause: error,
    });
  }
  if (content.length <= MAX_SECRET) return content;
  throw new AtomicError('usage', `the secret ${name} is larger than 1 MiB`);
}
