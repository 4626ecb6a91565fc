import { parseType, type Type } from './type.ts';
import { asArray, asBigint, asNumber, asVariant, swap32, swap64, type Value } from './value.ts';

/** The value with the bytes of every number in it swapped, inside variants too, as `g_variant_byteswap` has it. */
export function byteswap(type: string, value: Value): Value {
  return swap(parseType(type), value);
}

const doubleBytes = Buffer.alloc(8);

function swap(type: Type, value: Value): Value {
  switch (type.kind) {
    case 'basic':
      return swapBasic(type.code, value);
    case 'variant': {
      const inner = asVariant(value);
      return { type: inner.type, value: byteswap(inner.type, inner.value) };
    }
    case 'array':
      return Buffer.isBuffer(value) ? value : asArray(value).map((item) => swap(type.element, item));
    case 'maybe':
      if (value === null) return null;
      return type.element.kind === 'maybe'
        ? [swap(type.element, asArray(value)[0] ?? null)]
        : swap(type.element, value);
    case 'tuple':
    case 'entry':
      return asArray(value).map((item, i) => swap(type.members[i] ?? type, item));
  }
}

function swapBasic(code: string, value: Value): Value {
  switch (code) {
    case 'n':
    case 'q': {
      const number = asNumber(value);
      const swapped = ((number & 0xff) << 8) | ((number >> 8) & 0xff);
      return code === 'n' ? (swapped << 16) >> 16 : swapped;
    }
    case 'i':
    case 'h':
      return swap32(asNumber(value) >>> 0) | 0;
    case 'u':
      return swap32(asNumber(value));
    case 'x':
      return BigInt.asIntN(64, swap64(BigInt.asUintN(64, asBigint(value))));
    case 't':
      return swap64(asBigint(value));
    case 'd':
      doubleBytes.writeDoubleLE(asNumber(value));
      return doubleBytes.readDoubleBE();
    default:
      return value;
  }
}
