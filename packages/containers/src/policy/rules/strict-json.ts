import { AtomicError } from '@atomic/ostree';

/** More than any policy or signature is; the expression below takes stack in proportion. */
const MAX_LENGTH = 4 * 1024 * 1024;

/**
 * Parses JSON that must not be ambiguous: a member that occurs twice in an object is refused, because readers differ in
 * which of the two they take. Throws `invalid`, naming `what`.
 */
export function parseStrictJson(text: string, what: string): unknown {
  if (text.length > MAX_LENGTH) throw new AtomicError('invalid', `${what} is larger than 4 MiB`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new AtomicError('invalid', `${what} is not JSON: ${why}`, { cause: error });
  }
  const twice = repeatedMember(text);
  if (twice === undefined) return value;
  throw new AtomicError('invalid', `${what} has '${twice}' twice in one object`, {
    hint: 'tools differ in which of the two they take; remove one',
  });
}

/** The first name that an object of a text, which is JSON, has twice. */
function repeatedMember(text: string): string | undefined {
  const open: (Set<string> | undefined)[] = [];
  for (const { 0: token, 1: name } of text.matchAll(/("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[{}[\]]/gs)) {
    if (token === '{') open.push(new Set());
    else if (token === '[') open.push(undefined);
    else if (token === '}' || token === ']') open.pop();
    else if (name !== undefined) {
      const key: unknown = JSON.parse(name);
      const members = open.at(-1);
      if (typeof key !== 'string' || members === undefined) continue;
      if (members.has(key)) return key;
      members.add(key);
    }
  }
  return undefined;
}
