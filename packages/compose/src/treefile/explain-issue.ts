import type { AtomicError } from '@atomic/ostree';
import type { z } from 'zod';
import { REFUSED_KEYS } from './other-keys.ts';
import { initramfsSchema, treefileSchema } from './schema.ts';
import { nearest } from './suggest.ts';
import { invalid, type LineOf } from './where.ts';

function typeName(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  switch (typeof value) {
    case 'string':
      return `the text ${JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)}`;
    case 'object':
      return 'a map';
    default:
      return `${typeof value} ${String(value)}`;
  }
}

const expectedNames: Record<string, string> = {
  string: 'a text',
  array: 'a list',
  object: 'a map of keys',
  record: 'a map of keys',
  boolean: 'true or false',
  number: 'a number',
  tuple: 'a pair: [source, absolute destination]',
};

const KEYS_INSIDE: Record<string, Record<string, unknown>> = {
  initramfs: initramfsSchema.shape,
  repos: { url: 0, suite: 0, components: 0, 'signed-by': 0 },
  'lockfile-repos': { url: 0, suite: 0, components: 0, 'signed-by': 0 },
  'repo-packages': { repo: 0, packages: 0 },
  'conditional-include': { if: 0, include: 0 },
  'check-passwd': { type: 0, filename: 0, entries: 0 },
  'check-groups': { type: 0, filename: 0, entries: 0 },
};

function valueAt(data: unknown, path: readonly PropertyKey[]): unknown {
  let value = data;
  for (const step of path) {
    if (value === null || typeof value !== 'object') return undefined;
    value = Object.entries(value).find(([key]) => key === String(step))?.[1];
  }
  return value;
}

/** What zod found, as one line naming file, line, key and what is allowed. */
export function explainIssue(file: string, lineOf: LineOf, data: unknown, issue: z.core.$ZodIssue): AtomicError {
  const at = issue.path;
  const name = at
    .map((p) => (typeof p === 'number' ? `[${p}]` : String(p)))
    .join('.')
    .replaceAll('.[', '[');
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? '';
    const line = lineOf([...at, key]);
    const shape = at.length === 0 ? treefileSchema.shape : (KEYS_INSIDE[String(at[0])] ?? {});
    const reason = at.length === 0 ? REFUSED_KEYS.get(key) : undefined;
    if (reason !== undefined) return invalid(file, line, `key '${key}' of rpm-ostree is not supported: ${reason}`);
    const near = nearest(key, Object.keys(shape));
    const inside = name === '' ? '' : ` in '${name}'`;
    return invalid(
      file,
      line,
      `unknown key '${key}'${inside}${near === undefined ? '' : `; did you mean '${near}'?`}`,
      `allowed keys: ${Object.keys(shape).sort().join(', ')}`,
    );
  }
  const line = lineOf(at);
  const got = typeName(valueAt(data, at));
  if (issue.code === 'invalid_type') {
    return invalid(file, line, `'${name}' must be ${expectedNames[issue.expected] ?? issue.expected}, but is ${got}`);
  }
  if (issue.code === 'too_small' && !issue.message.startsWith('must'))
    return invalid(file, line, `'${name}' must not be empty`);
  return invalid(
    file,
    line,
    `'${name}' ${issue.message.startsWith('must') ? issue.message : `is not valid: ${issue.message}`}, but is ${got}`,
  );
}
