import { decode } from './decode.ts';
import { encode } from './encode.ts';
import { asArray, asString, asVariant, type Value, type Variant } from './value.ts';

/** An `a{sv}` with its order kept: the order is part of the bytes, and so of a commit's checksum. */
export type Metadata = Map<string, Variant>;

/** A metadata value holding a string. */
export const stringVariant = (value: string): Variant => ({ type: 's', value });

/** Metadata as the value of an `a{sv}`, in its order. */
export function metadataToValue(metadata: Metadata): Value {
  return [...metadata].map(([key, variant]) => [key, variant]);
}

/** The value of an `a{sv}` as metadata; of a key that comes twice the last counts. Throws `corrupt`. */
export function metadataFromValue(value: Value | undefined): Metadata {
  const metadata: Metadata = new Map();
  for (const entry of asArray(value)) {
    const [key, inner] = asArray(entry);
    metadata.set(asString(key), asVariant(inner));
  }
  return metadata;
}

/** The bytes of an `a{sv}`, as detached metadata is stored. */
export const encodeVardict = (metadata: Metadata): Buffer => encode('a{sv}', metadataToValue(metadata));
/** Reads the bytes of an `a{sv}`; throws `corrupt`. */
export const decodeVardict = (bytes: Uint8Array): Metadata => metadataFromValue(decode('a{sv}', bytes));

/** The string behind a key, or undefined when it is missing or something else. */
export function metadataString(metadata: Metadata, key: string): string | undefined {
  const found = metadata.get(key);
  return found !== undefined && typeof found.value === 'string' ? found.value : undefined;
}
