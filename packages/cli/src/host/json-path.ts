import { AtomicError } from '@atomic/ostree';

/** Picks values below one: what a step of a path does. */
type Step = (value: unknown) => unknown[];

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;
const children = (value: unknown): unknown[] =>
  Array.isArray(value) ? value : isObject(value) ? Object.values(value) : [];
const member =
  (name: string): Step =>
  (value) =>
    isObject(value) && !Array.isArray(value) && Object.hasOwn(value, name) ? [Reflect.get(value, name)] : [];

function descendants(value: unknown): unknown[] {
  return [value, ...children(value).flatMap(descendants)];
}

const bad = (expression: string, why: string) =>
  new AtomicError('usage', `While compiling jsonpath: ${why} in '${expression}'`, {
    hint: 'such as: $.deployments[0].version, $.deployments[*].checksum, $..origin',
  });

function subscript(text: string, expression: string): Step {
  if (text === '*') return children;
  const names = [...text.matchAll(/'([^']*)'|"([^"]*)"/g)].map(([, single, double]) => single ?? double ?? '');
  if (/^\s*('[^']*'|"[^"]*")(\s*,\s*('[^']*'|"[^"]*"))*\s*$/.test(text)) {
    const steps = names.map(member);
    return (value) => steps.flatMap((step) => step(value));
  }
  if (/^\s*\d+(\s*,\s*\d+)*\s*$/.test(text)) {
    const indices = text.split(',').map(Number);
    return (value) => (Array.isArray(value) ? indices.flatMap((at) => (at < value.length ? [value[at]] : [])) : []);
  }
  const [, from, to, by] = /^\s*(-?\d*)\s*:\s*(-?\d*)\s*(?::\s*(\d+)\s*)?$/.exec(text) ?? [];
  if (from === undefined || by === '0') throw bad(expression, `malformed subscript [${text}]`);
  const step = Number(by ?? 1);
  return (value) =>
    Array.isArray(value)
      ? value
          .slice(Number(from), to === '' || to === undefined ? undefined : Number(to))
          .filter((_, at) => at % step === 0)
      : [];
}

/**
 * What a JSONPath (Goessner's: `$`, `.name`, `..`, `*`, `[n]`, `[a,b]`, `[from:to:step]`, `['name']`) picks from a value,
 * as json-glib has it: no filters, and always a list. Throws `usage`.
 */
export function jsonPath(value: unknown, expression: string): unknown[] {
  const token = /\.\.|\.|\[([^\]]*)\]|\*|[^.[\]*]+/y;
  if (!expression.startsWith('$')) throw bad(expression, 'a path begins with $');
  let found: unknown[] = [value];
  let dotted = false;
  for (token.lastIndex = 1; token.lastIndex < expression.length; ) {
    const match = token.exec(expression);
    if (match === null) throw bad(expression, 'malformed path');
    const [text, inside] = match;
    if (text === '.' || text === '..') {
      if (dotted) throw bad(expression, 'a name is missing');
      if (text === '..') found = found.flatMap(descendants);
      dotted = true;
      continue;
    }
    if (inside === undefined && !dotted) throw bad(expression, `'.' is missing before ${text}`);
    const step = inside !== undefined ? subscript(inside, expression) : text === '*' ? children : member(text);
    found = found.flatMap(step);
    dotted = false;
  }
  if (dotted) throw bad(expression, 'a name is missing at the end');
  return found;
}
