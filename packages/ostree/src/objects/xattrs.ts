import type { Xattr } from '@atomic/linux';
import { corrupt } from '../error.ts';
import { asArray, asBytes, type Value } from '../gvariant/value.ts';

export type { Xattr };

const NUL = Buffer.alloc(1);

/** `a(ayay)`: names as NUL-terminated bytes, sorted by name. */
export function xattrsToValue(xattrs: readonly Xattr[]): Value {
  return [...xattrs]
    .sort((a, b) => Buffer.compare(a.name, b.name))
    .map((xattr) => [Buffer.concat([xattr.name, NUL]), xattr.value]);
}

/** Reads and validates `a(ayay)`: names NUL-terminated, not empty, strictly ascending. */
export function xattrsFromValue(value: Value | undefined): Xattr[] {
  let previous: Buffer | null = null;
  return asArray(value).map((entry) => {
    const [nameValue, data] = asArray(entry);
    const name = asBytes(nameValue);
    if (name.length < 2 || name.indexOf(0) !== name.length - 1) throw corrupt('malformed extended attribute name');
    if (previous !== null && Buffer.compare(previous, name) >= 0) throw corrupt('extended attributes are not sorted');
    previous = name;
    return { name: Buffer.from(name.subarray(0, -1)), value: Buffer.from(asBytes(data)) };
  });
}
