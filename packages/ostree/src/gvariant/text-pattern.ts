import { AtomicError } from '../error.ts';
import type { TextNode } from './text-tree.ts';
import { parseType, type Type } from './type.ts';

/**
 * What a piece of text says about its type. `number` and `string` stand for any type written so; `lift`: the value may
 * also stand where a maybe of it is wanted.
 */
export type Pattern =
  | { kind: 'any'; lift: boolean }
  | { kind: 'number' | 'string'; lift: boolean }
  | { kind: 'basic'; code: string; lift: boolean }
  | { kind: 'array' | 'maybe'; element: Pattern; lift: boolean }
  | { kind: 'tuple' | 'entry'; members: Pattern[]; lift: boolean };

const any: Pattern = { kind: 'any', lift: false };

/** The pattern of a node, all its parts agreeing. Throws `invalid` where items of an array differ in type. */
export function patternOf(node: TextNode): Pattern {
  switch (node.kind) {
    case 'number': {
      const hex = /^[+-]?0x/i.test(node.text);
      if (!hex && /[.e]|inf|nan/i.test(node.text)) return { kind: 'basic', code: 'd', lift: true };
      return { kind: 'number', lift: true };
    }
    case 'boolean':
      return { kind: 'basic', code: 'b', lift: true };
    case 'string':
      return { kind: 'string', lift: true };
    case 'bytes':
      return { kind: 'array', element: { kind: 'basic', code: 'y', lift: false }, lift: true };
    case 'variant':
      return { kind: 'basic', code: 'v', lift: true };
    case 'array':
      return { kind: 'array', element: common(node.items), lift: true };
    case 'tuple':
      return { kind: 'tuple', members: node.items.map(patternOf), lift: true };
    case 'entry':
      return { kind: 'entry', members: [patternOf(node.key), patternOf(node.value)], lift: true };
    case 'dictionary': {
      // GLib infers the type of the values from the first one.
      const members = [
        common(node.pairs.map(([key]) => key)),
        common(node.pairs.slice(0, 1).map(([, value]) => value)),
      ];
      return { kind: 'array', element: { kind: 'entry', members, lift: false }, lift: true };
    }
    case 'just':
      return { kind: 'maybe', element: patternOf(node.child), lift: false };
    case 'nothing':
      return { kind: 'maybe', element: any, lift: false };
    case 'typed':
      return fromType(parseType(node.type));
  }
}

function common(nodes: readonly TextNode[]): Pattern {
  let pattern: Pattern = any;
  for (const node of nodes) {
    const merged = unify(pattern, patternOf(node));
    if (merged === null) {
      throw new AtomicError('invalid', `${node.start}-${node.end}:unable to find a common type`);
    }
    pattern = merged;
  }
  return pattern;
}

function fromType(type: Type): Pattern {
  switch (type.kind) {
    case 'basic':
      return { kind: 'basic', code: type.code, lift: false };
    case 'variant':
      return { kind: 'basic', code: 'v', lift: false };
    case 'array':
    case 'maybe':
      return { kind: type.kind, element: fromType(type.element), lift: false };
    case 'tuple':
    case 'entry':
      return { kind: type.kind, members: type.members.map(fromType), lift: false };
  }
}

/** The pattern both agree with, or null. */
function unify(a: Pattern, b: Pattern): Pattern | null {
  if (a.kind === 'any') return b;
  if (b.kind === 'any') return a;
  const lift = a.lift && b.lift;
  if (a.kind === 'maybe' || b.kind === 'maybe') {
    if (a.kind !== 'maybe' && !a.lift) return null;
    if (b.kind !== 'maybe' && !b.lift) return null;
    const element = unify(a.kind === 'maybe' ? a.element : a, b.kind === 'maybe' ? b.element : b);
    return element === null ? null : { kind: 'maybe', element, lift: false };
  }
  if (a.kind === 'array' && b.kind === 'array') {
    const element = unify(a.element, b.element);
    return element === null ? null : { kind: 'array', element, lift };
  }
  if ((a.kind === 'tuple' || a.kind === 'entry') && a.kind === b.kind) {
    if (a.members.length !== b.members.length) return null;
    const members = a.members.map((member, i) => unify(member, b.members[i] ?? any));
    return members.every((member) => member !== null) ? { kind: a.kind, members, lift } : null;
  }
  return unifyBasic(a, b, lift) ?? unifyBasic(b, a, lift);
}

function unifyBasic(a: Pattern, b: Pattern, lift: boolean): Pattern | null {
  if (a.kind === 'number' || a.kind === 'string') {
    if (a.kind === b.kind) return { kind: a.kind, lift };
    const codes = a.kind === 'number' ? 'ynqiuxthd' : 'sog';
    return b.kind === 'basic' && codes.includes(b.code) ? { kind: 'basic', code: b.code, lift } : null;
  }
  return a.kind === 'basic' && b.kind === 'basic' && a.code === b.code ? { kind: 'basic', code: a.code, lift } : null;
}

/** The type string a pattern means when nothing else is said: numbers are int32, strings strings. */
export function resolvePattern(pattern: Pattern, node: TextNode): string {
  switch (pattern.kind) {
    case 'any':
      throw new AtomicError('invalid', `${node.start}-${node.end}:unable to infer type`);
    case 'number':
      return 'i';
    case 'string':
      return 's';
    case 'basic':
      return pattern.code;
    case 'array':
      return `a${resolvePattern(pattern.element, node)}`;
    case 'maybe':
      return `m${resolvePattern(pattern.element, node)}`;
    case 'tuple':
      return `(${pattern.members.map((member) => resolvePattern(member, node)).join('')})`;
    case 'entry':
      return `{${pattern.members.map((member) => resolvePattern(member, node)).join('')}}`;
  }
}
