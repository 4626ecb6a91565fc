import { AtomicError } from '../error.ts';

/** A parsed GVariant type. `fixed` is the size in bytes of every value of the type, or null when sizes vary. */
export type Type =
  | { kind: 'basic'; code: string; align: number; fixed: number | null }
  | { kind: 'variant'; align: 8; fixed: null }
  | { kind: 'array'; element: Type; align: number; fixed: null }
  | { kind: 'maybe'; element: Type; align: number; fixed: null }
  | { kind: 'tuple' | 'entry'; members: Type[]; align: number; fixed: number | null };

const basicSize: Record<string, number | null> = {
  b: 1,
  y: 1,
  n: 2,
  q: 2,
  i: 4,
  u: 4,
  h: 4,
  x: 8,
  t: 8,
  d: 8,
  s: null,
  o: null,
  g: null,
};

const cache = new Map<string, Type>();
const MAX_NESTING = 64;

export const alignUp = (offset: number, align: number): number => (offset + align - 1) & ~(align - 1);

/** Parses one complete type string (GVariant's grammar); throws `invalid` for anything else. */
export function parseType(text: string): Type {
  const known = cache.get(text);
  if (known !== undefined) return known;
  const state = { text, at: 0 };
  const type = parseOne(state, 0);
  if (state.at !== text.length) throw badType(text);
  cache.set(text, type);
  // Type strings inside variants come from outside: the cache must not grow with them.
  if (cache.size > 500) cache.clear();
  return type;
}

const badType = (text: string) => new AtomicError('invalid', `'${text.slice(0, 40)}' is not a GVariant type`);

function parseOne(state: { text: string; at: number }, depth: number): Type {
  if (depth > MAX_NESTING) throw badType(state.text);
  const code = state.text[state.at++] ?? '';
  const size = basicSize[code];
  if (size !== undefined) return { kind: 'basic', code, align: size ?? 1, fixed: size };
  if (code === 'v') return { kind: 'variant', align: 8, fixed: null };
  if (code === 'a' || code === 'm') {
    const element = parseOne(state, depth + 1);
    return { kind: code === 'a' ? 'array' : 'maybe', element, align: element.align, fixed: null };
  }
  if (code !== '(' && code !== '{') throw badType(state.text);
  const close = code === '(' ? ')' : '}';
  const members: Type[] = [];
  while (state.text[state.at] !== close) members.push(parseOne(state, depth + 1));
  state.at++;
  if (code === '{' && (members.length !== 2 || members[0]?.kind !== 'basic')) throw badType(state.text);
  const align = members.reduce((most, member) => Math.max(most, member.align), 1);
  return { kind: code === '(' ? 'tuple' : 'entry', members, align, fixed: fixedSize(members, align) };
}

function fixedSize(members: Type[], align: number): number | null {
  if (members.length === 0) return 1; // the unit tuple is one zero byte
  let offset = 0;
  for (const member of members) {
    if (member.fixed === null) return null;
    offset = alignUp(offset, member.align) + member.fixed;
  }
  return alignUp(offset, align);
}

/** The type string of a parsed type. */
export function typeString(type: Type): string {
  switch (type.kind) {
    case 'basic':
      return type.code;
    case 'variant':
      return 'v';
    case 'array':
      return `a${typeString(type.element)}`;
    case 'maybe':
      return `m${typeString(type.element)}`;
    case 'tuple':
      return `(${type.members.map(typeString).join('')})`;
    case 'entry':
      return `{${type.members.map(typeString).join('')}}`;
  }
}

/** Bytes per framing offset in a container of `size` bytes. */
export function offsetSize(size: number): 0 | 1 | 2 | 4 {
  if (size === 0) return 0;
  return size <= 0xff ? 1 : size <= 0xffff ? 2 : 4;
}

/** Normal form has the narrowest framing offsets that can hold the container's size: `count` of them behind `body` bytes. */
export function isNarrowest(body: number, count: number, width: number): boolean {
  if (count === 0 || width <= 1) return true;
  const narrower = width / 2;
  return body + count * narrower > 2 ** (8 * narrower) - 1;
}
