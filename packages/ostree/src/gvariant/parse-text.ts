import { AtomicError } from '../error.ts';
import { patternOf, resolvePattern } from './text-pattern.ts';
import { parseTextTree, type TextNode } from './text-tree.ts';
import { parseType, type Type, typeString } from './type.ts';
import type { Value, Variant } from './value.ts';

/**
 * Reads GVariant text format, as `g_variant_parse` does (GLib: "GVariant Text Format"): `'text'`, `uint32 5`,
 * `{'key': <true>}`, `@as []`. Without `type` it is inferred. Throws `invalid`, naming the place in the text.
 */
export function parseVariantText(text: string, type?: string): Variant {
  const tree = parseTextTree(text);
  const wanted = type ?? resolvePattern(patternOf(tree), tree);
  return { type: wanted, value: build(tree, parseType(wanted)) };
}

const fail = (node: TextNode, what: string) => new AtomicError('invalid', `${node.start}-${node.end}:${what}`);
const mismatch = (node: TextNode, type: Type) => fail(node, `can not parse as value of type '${typeString(type)}'`);

/** The value a node is when taken as `type`. */
function build(node: TextNode, type: Type): Value {
  // The declaration has done its work in the pattern; what it stands in decides.
  if (node.kind === 'typed') return build(node.child, type);
  if (type.kind === 'maybe') {
    if (node.kind === 'nothing') return null;
    return just(build(node.kind === 'just' ? node.child : node, type.element), type);
  }
  switch (node.kind) {
    case 'number':
      return buildNumber(node, type);
    case 'boolean':
      if (type.kind === 'basic' && type.code === 'b') return node.value;
      break;
    case 'string':
      return buildString(node, type);
    case 'bytes':
      if (typeString(type) === 'ay') return node.value;
      break;
    case 'array':
      if (type.kind === 'array') return buildArray(node.items, type.element);
      break;
    case 'tuple':
      if (type.kind === 'tuple' && type.members.length === node.items.length) {
        return node.items.map((item, i) => build(item, type.members[i] ?? type));
      }
      break;
    case 'entry':
      if (type.kind === 'entry') return pair(node.key, node.value, type);
      break;
    case 'dictionary': {
      const element = type.kind === 'array' ? type.element : undefined;
      if (element?.kind === 'entry') return node.pairs.map(([key, value]) => pair(key, value, element));
      break;
    }
    case 'variant':
      if (type.kind === 'variant') {
        const inner = resolvePattern(patternOf(node.child), node.child);
        return { type: inner, value: build(node.child, parseType(inner)) };
      }
      break;
    case 'just':
    case 'nothing':
      break;
  }
  throw mismatch(node, type);
}

/** A maybe inside a maybe is boxed: else nothing and just nothing were the same. */
const just = (value: Value, type: Extract<Type, { kind: 'maybe' }>): Value =>
  type.element.kind === 'maybe' ? [value] : value;

function pair(key: TextNode, value: TextNode, type: Extract<Type, { members: Type[] }>): Value {
  const [keyType, valueType] = type.members;
  if (keyType === undefined || valueType === undefined) throw mismatch(key, type);
  return [build(key, keyType), build(value, valueType)];
}

function buildArray(items: readonly TextNode[], element: Type): Value {
  const values = items.map((item) => build(item, element));
  if (element.kind === 'basic' && element.code === 'y') return Buffer.from(values.map(Number));
  return values;
}

function buildString(node: Extract<TextNode, { kind: 'string' }>, type: Type): Value {
  if (type.kind !== 'basic') throw mismatch(node, type);
  switch (type.code) {
    case 's':
      return node.value;
    case 'o':
      if (!/^\/$|^(\/[A-Za-z0-9_]+)+$/.test(node.value)) throw fail(node, 'not a valid object path');
      return node.value;
    case 'g':
      if (!isSignature(node.value)) throw fail(node, 'not a valid signature');
      return node.value;
    default:
      throw mismatch(node, type);
  }
}

/** Any number of complete types. */
function isSignature(text: string): boolean {
  try {
    parseType(`(${text})`);
    return !text.includes('m');
  } catch {
    return false;
  }
}

const ranges: Record<string, [low: bigint, high: bigint]> = {
  y: [0n, 0xffn],
  n: [-0x8000n, 0x7fffn],
  q: [0n, 0xffffn],
  i: [-0x80000000n, 0x7fffffffn],
  h: [-0x80000000n, 0x7fffffffn],
  u: [0n, 0xffffffffn],
  x: [-(2n ** 63n), 2n ** 63n - 1n],
  t: [0n, 2n ** 64n - 1n],
};

function buildNumber(node: Extract<TextNode, { kind: 'number' }>, type: Type): Value {
  if (type.kind !== 'basic') throw mismatch(node, type);
  if (type.code === 'd') return buildDouble(node);
  const range = ranges[type.code];
  if (range === undefined) throw mismatch(node, type);
  const match = /^([+-]?)(0[xX][0-9a-fA-F]+|\d+)$/.exec(node.text);
  const digits = match?.[2] ?? '';
  const octal = /^0[0-7]+$/.test(digits);
  if (match === null || (/^0\d/.test(digits) && !octal)) throw fail(node, 'invalid character in number');
  if (digits.length > 80) throw fail(node, 'integer too big for any type');
  const size = BigInt(octal ? `0o${digits.slice(1)}` : digits);
  if (size > 2n ** 64n - 1n) throw fail(node, 'integer too big for any type');
  const value = match[1] === '-' ? -size : size;
  if (value < range[0] || value > range[1]) throw fail(node, `number out of range for type '${type.code}'`);
  return type.code === 'x' || type.code === 't' ? value : Number(value);
}

function buildDouble(node: Extract<TextNode, { kind: 'number' }>): number {
  const text = node.text.toLowerCase();
  const special = /^([+-]?)(inf|infinity|nan)$/.exec(text);
  if (special !== null) {
    const size = special[2] === 'nan' ? Number.NaN : Number.POSITIVE_INFINITY;
    return special[1] === '-' ? -size : size;
  }
  const hex = /^([+-]?)(0x[0-9a-f]+)$/.exec(text);
  if (hex !== null) return Number(hex[2]) * (hex[1] === '-' ? -1 : 1);
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/.test(text)) throw fail(node, 'invalid character in number');
  const value = Number(text);
  if (!Number.isFinite(value)) throw fail(node, 'number too big for any type');
  return value;
}
