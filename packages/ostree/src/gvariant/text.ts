import { parseType, type Type, typeString } from './type.ts';
import { asArray, asBytes, asString, asVariant, type Value } from './value.ts';

/** GVariant's text format, as `g_variant_print` writes it; `annotate` adds the types a parser would need. */
export function print(type: string, value: Value, annotate = true): string {
  return printType(parseType(type), value, annotate);
}

const prefixes: Record<string, string> = {
  y: 'byte ',
  n: 'int16 ',
  q: 'uint16 ',
  h: 'handle ',
  u: 'uint32 ',
  x: 'int64 ',
  t: 'uint64 ',
  o: 'objectpath ',
  g: 'signature ',
};

function printType(type: Type, value: Value, annotate: boolean): string {
  switch (type.kind) {
    case 'basic': {
      const prefix = annotate ? (prefixes[type.code] ?? '') : '';
      return prefix + printBasic(type.code, value);
    }
    case 'variant': {
      const inner = asVariant(value);
      return `<${printType(parseType(inner.type), inner.value, true)}>`;
    }
    case 'maybe': {
      return (annotate ? `@${typeString(type)} ` : '') + printMaybe(type, value);
    }
    case 'array':
      return printArray(type, value, annotate);
    case 'tuple': {
      const items = asArray(value).map((item, i) => printType(type.members[i] ?? type, item, annotate));
      return `(${items.join(', ')}${items.length === 1 ? ',' : ''})`;
    }
    case 'entry': {
      const [key, inner] = asArray(value);
      const [keyType, innerType] = type.members;
      if (keyType === undefined || innerType === undefined) return '{}';
      return `{${printType(keyType, key ?? null, annotate)}, ${printType(innerType, inner ?? null, annotate)}}`;
    }
  }
}

/** `just` is written only where it tells apart a nothing inside. */
function printMaybe(type: Extract<Type, { kind: 'maybe' }>, value: Value): string {
  if (value === null) return 'nothing';
  if (type.element.kind !== 'maybe') return printType(type.element, value, false);
  const inner = printMaybe(type.element, asArray(value)[0] ?? null);
  return inner.endsWith('nothing') && /^(just )*nothing$/.test(inner) ? `just ${inner}` : inner;
}

function printArray(type: Extract<Type, { kind: 'array' }>, value: Value, annotate: boolean): string {
  const { element } = type;
  if (element.kind === 'basic' && element.code === 'y') {
    const bytes = asBytes(value);
    if (bytes.length > 0 && bytes.indexOf(0) === bytes.length - 1) return `b${quoteBytes(bytes.subarray(0, -1))}`;
    if (bytes.length === 0) return annotate ? '@ay []' : '[]';
    const items = [...bytes].map((byte) => `0x${byte.toString(16).padStart(2, '0')}`);
    return `[${annotate ? 'byte ' : ''}${items.join(', ')}]`;
  }
  const items = asArray(value);
  const dictionary = element.kind === 'entry';
  if (items.length === 0) return `${annotate ? `@${typeString(type)} ` : ''}${dictionary ? '{}' : '[]'}`;
  if (dictionary) {
    const [keyType, innerType] = element.members;
    if (keyType === undefined || innerType === undefined) return '{}';
    const pairs = items.map((item, i) => {
      const [key, inner] = asArray(item);
      const first = annotate && i === 0;
      return `${printType(keyType, key ?? null, first)}: ${printType(innerType, inner ?? null, first)}`;
    });
    return `{${pairs.join(', ')}}`;
  }
  return `[${items.map((item, i) => printType(element, item, annotate && i === 0)).join(', ')}]`;
}

function printBasic(code: string, value: Value): string {
  if (code === 's' || code === 'o' || code === 'g') return quote(asString(value));
  if (code === 'y') return `0x${Number(value).toString(16).padStart(2, '0')}`;
  if (code === 'd') {
    return doubleText(Number(value));
  }
  return String(value);
}

/** As C's `%.17g` has it, with `.0` on what would else look like an integer. */
function doubleText(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  if (Object.is(value, -0)) return '-0.0';
  const [mantissa = '', power = '0'] = value.toExponential(16).split('e');
  const exponent = Number(power);
  const trim = (text: string) => (text.includes('.') ? text.replace(/\.?0+$/, '') : text);
  if (exponent < -4 || exponent >= 17) {
    return `${trim(mantissa)}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
  }
  const text = trim(value.toFixed(Math.min(100, 16 - exponent)));
  return text.includes('.') ? text : `${text}.0`;
}

const escapes: Record<string, string> = {
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
};

function quote(text: string): string {
  const mark = text.includes("'") ? '"' : "'";
  let out = mark;
  for (const char of text) {
    const point = char.codePointAt(0) ?? 0;
    if (char === mark || char === '\\') out += `\\${char}`;
    else if (escapes[char] !== undefined) out += escapes[char];
    else if (/[\p{Cc}\p{Cf}\p{Cs}\p{Cn}]/u.test(char)) {
      out += point > 0xffff ? `\\U${point.toString(16).padStart(8, '0')}` : `\\u${point.toString(16).padStart(4, '0')}`;
    } else out += char;
  }
  return out + mark;
}

function quoteBytes(bytes: Buffer): string {
  const mark = bytes.includes(0x27) ? '"' : "'";
  let out = mark;
  for (const byte of bytes) {
    const char = String.fromCharCode(byte);
    if (char === '"' || char === '\\') out += `\\${char}`;
    else if (escapes[char] !== undefined && char !== '\x07') out += escapes[char];
    else if (byte < 0x20 || byte >= 0x7f) out += `\\${byte.toString(8).padStart(3, '0')}`;
    else out += char;
  }
  return out + mark;
}
