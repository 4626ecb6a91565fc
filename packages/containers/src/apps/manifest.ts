import { AtomicError } from '@atomic/ostree';
import { isScalar, parseDocument } from 'yaml';
import { z } from 'zod';

// app.yaml, the manifest of an app bundle (docs/apps.md).

const described = { description: z.string().optional() };
const parameter = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('string'),
    ...described,
    default: z.string().optional(),
    /** A regular expression that the whole value must match. */
    pattern: z.string().optional(),
    allowed: z.array(z.string()).min(1).optional(),
  }),
  z.strictObject({
    type: z.literal('int'),
    ...described,
    default: z.int().optional(),
    minimum: z.int().optional(),
    maximum: z.int().optional(),
  }),
  z.strictObject({ type: z.literal('bool'), ...described, default: z.boolean().optional() }),
  z.strictObject({
    type: z.literal('enum'),
    ...described,
    values: z.array(z.string()).min(1),
    default: z.string().optional(),
  }),
  /** The content of a file, which only the app gets to see. */
  z.strictObject({ type: z.literal('secret'), ...described, optional: z.boolean().optional() }),
]);
export type Parameter = z.output<typeof parameter>;

const probe = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('http'), url: z.string() }),
  z.strictObject({
    type: z.literal('tcp'),
    host: z.string().default('127.0.0.1'),
    port: z.union([z.int(), z.string()]),
  }),
  z.strictObject({ type: z.literal('exec'), command: z.array(z.string()).min(1) }),
  z.strictObject({ type: z.literal('unit'), unit: z.string() }),
]);
export type AppProbe = z.output<typeof probe>;

const manifest = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,40}$/, 'must be lower-case letters, digits and dashes, at most 41'),
  version: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}$/, 'must be letters, digits and . _ + ~ -'),
  description: z.string().optional(),
  parameters: z.record(z.string().regex(/^[a-z][a-z0-9_]{0,40}$/, 'must be lower case'), parameter).default({}),
  health: z
    .strictObject({
      /** How long it may take until all is well. */
      seconds: z.number().positive().max(3600).default(60),
      /** How long it has to stay so. */
      settle: z.number().nonnegative().max(600).default(3),
      probes: z.array(probe).default([]),
    })
    .default({ seconds: 60, settle: 3, probes: [] }),
});
export type AppManifest = z.output<typeof manifest>;

export const MANIFEST = 'app.yaml';

/** Parses a manifest. Throws `invalid` with the line, or with the place in it. */
export function parseManifest(text: string): AppManifest {
  const document = parseDocument(text, { uniqueKeys: true });
  const [broken] = document.errors;
  if (broken !== undefined) throw new AtomicError('invalid', `${MANIFEST}: ${broken.message.split('\n')[0]}`);
  const version: unknown = document.get('version', true);
  // 1.10 is a version, and the number 1.1 is not.
  if (isScalar(version) && typeof version.value === 'number' && version.source !== undefined) {
    version.value = version.source;
  }
  const result = manifest.safeParse(document.toJS({ maxAliasCount: 100 }));
  if (!result.success) {
    const [issue] = result.error.issues;
    throw new AtomicError('invalid', `${MANIFEST}: ${issue?.path.join('.') || 'the file'}: ${issue?.message}`);
  }
  for (const [name, one] of Object.entries(result.data.parameters)) {
    // A default that is not allowed would be found only by who does not set it.
    if (one.type === 'secret' || one.default === undefined) continue;
    const why = whyNot(one, String(one.default));
    if (why !== undefined) throw new AtomicError('invalid', `${MANIFEST}: parameters.${name}.default ${why}`);
  }
  return result.data;
}

const SPOKEN: Readonly<Record<string, string>> = {
  yes: 'true',
  on: 'true',
  1: 'true',
  no: 'false',
  off: 'false',
  0: 'false',
};

/** A value as it is used: of a bool `true` or `false`. */
export const canonical = (of: Parameter, value: string): string =>
  of.type === 'bool' ? (SPOKEN[value.toLowerCase()] ?? value.toLowerCase()) : value;

/** Why a parameter cannot have a value; undefined when it can. */
export function whyNot(of: Parameter, value: string): string | undefined {
  if (/[\x00-\x1f\x7f]/.test(value)) return 'must be one line of text';
  switch (of.type) {
    case 'int': {
      if (!/^-?(0|[1-9][0-9]{0,14})$/.test(value)) return `must be a whole number, but is '${value}'`;
      const number = Number(value);
      if (of.minimum !== undefined && number < of.minimum) return `must be at least ${of.minimum}, but is ${value}`;
      if (of.maximum !== undefined && number > of.maximum) return `must be at most ${of.maximum}, but is ${value}`;
      return undefined;
    }
    case 'bool':
      return /^(true|false)$/.test(canonical(of, value)) ? undefined : `must be true or false, but is '${value}'`;
    case 'enum':
      return of.values.includes(value) ? undefined : `must be one of ${of.values.join(', ')}, but is '${value}'`;
    case 'string': {
      if (of.allowed !== undefined && !of.allowed.includes(value)) {
        return `must be one of ${of.allowed.join(', ')}, but is '${value}'`;
      }
      if (of.pattern !== undefined && !new RegExp(`^(?:${of.pattern})$`, 'u').test(value)) {
        return `must match ${of.pattern}, but is '${value}'`;
      }
      return undefined;
    }
    case 'secret':
      return undefined;
  }
}
