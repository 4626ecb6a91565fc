import { corrupt } from '../error.ts';

/** A value inside a variant, with its type. */
export interface Variant {
  type: string;
  value: Value;
}

/**
 * A GVariant value as JavaScript data: y n q i u h d are numbers, x t bigints, b booleans, s o g strings, `ay` a
 * Buffer, other arrays and tuples arrays, a dict entry a pair, `v` a {@link Variant}, a maybe its value or null
 * (boxed in an array when that value is a maybe itself).
 */
export type Value = number | bigint | boolean | string | Buffer | null | Variant | Value[];

const wrong = (wanted: string) => corrupt(`a GVariant value is not ${wanted}`);

/** The value as a string; throws `corrupt` when it is something else. */
export function asString(value: Value | undefined): string {
  if (typeof value !== 'string') throw wrong('a string');
  return value;
}
/** The value as a number (all integer types but `x` and `t`, and `d`); throws `corrupt` when it is something else. */
export function asNumber(value: Value | undefined): number {
  if (typeof value !== 'number') throw wrong('a number');
  return value;
}
/** The value as a bigint (`x` and `t`); throws `corrupt` when it is something else. */
export function asBigint(value: Value | undefined): bigint {
  if (typeof value !== 'bigint') throw wrong('a 64-bit number');
  return value;
}
/** The value as a boolean; throws `corrupt` when it is something else. */
export function asBoolean(value: Value | undefined): boolean {
  if (typeof value !== 'boolean') throw wrong('a boolean');
  return value;
}
/** The value as bytes (`ay`); throws `corrupt` when it is something else. */
export function asBytes(value: Value | undefined): Buffer {
  if (!Buffer.isBuffer(value)) throw wrong('bytes');
  return value;
}
/** The value as the members of an array, tuple or dict entry; throws `corrupt` when it is something else. */
export function asArray(value: Value | undefined): Value[] {
  if (!Array.isArray(value)) throw wrong('an array or tuple');
  return value;
}
/** The value as a variant (`v`); throws `corrupt` when it is something else. */
export function asVariant(value: Value | undefined): Variant {
  if (value === null || typeof value !== 'object' || Array.isArray(value) || Buffer.isBuffer(value)) {
    throw wrong('a variant');
  }
  return value;
}

/** Swaps the bytes of a u32: ostree stores such fields big-endian inside little-endian GVariants. */
export function swap32(n: number): number {
  return ((n << 24) | ((n & 0xff00) << 8) | ((n >>> 8) & 0xff00) | (n >>> 24)) >>> 0;
}

const swapBuffer = Buffer.alloc(8);
/** Swaps the bytes of a u64. */
export function swap64(n: bigint): bigint {
  swapBuffer.writeBigUInt64LE(n);
  return swapBuffer.readBigUInt64BE();
}
