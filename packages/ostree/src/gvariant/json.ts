import { parseType, type Type } from './type.ts';
import { asArray, asString, asVariant, type Value, type Variant } from './value.ts';

/** What JSON can say. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/**
 * A variant as JSON, as json-glib's json_gvariant_serialize() puts it: dictionaries as objects, tuples and arrays as
 * arrays, bytes as arrays of numbers, variants as what is in them; 64-bit numbers JavaScript cannot hold as strings.
 */
export const variantToJson = ({ type, value }: Variant): Json => toJson(value, parseType(type));

function toJson(value: Value, type: Type): Json {
  switch (type.kind) {
    case 'variant':
      return variantToJson(asVariant(value));
    case 'maybe':
      return value === null ? null : toJson(Array.isArray(value) ? (value[0] ?? null) : value, type.element);
    case 'array':
      return arrayToJson(value, type.element);
    case 'tuple':
    case 'entry':
      return asArray(value).map((member, index) => {
        const of = type.members[index];
        return of === undefined ? null : toJson(member, of);
      });
    case 'basic':
      return basicToJson(value);
  }
}

function arrayToJson(value: Value, element: Type): Json {
  if (Buffer.isBuffer(value)) return [...value];
  const [key, of] = element.kind === 'entry' ? element.members : [];
  if (of === undefined || key?.kind !== 'basic' || !'sog'.includes(key.code)) {
    return asArray(value).map((member) => toJson(member, element));
  }
  // Not by assignment: a key may be `__proto__`.
  return Object.fromEntries(
    asArray(value).map((entry) => {
      const [name, inner] = asArray(entry);
      return [asString(name), toJson(inner ?? null, of)];
    }),
  );
}

function basicToJson(value: Value): Json {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();
  return typeof value === 'object' ? null : value;
}
