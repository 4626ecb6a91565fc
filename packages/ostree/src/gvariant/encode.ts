import { AtomicError } from '../error.ts';
import { alignUp, offsetSize, parseType, type Type } from './type.ts';
import { asArray, asBigint, asBoolean, asBytes, asNumber, asString, asVariant, type Value } from './value.ts';

/**
 * Serialises a value of GVariant type `type` in normal form, little-endian (the specification: "GVariant
 * Specification 1.0", chapter 2). Throws `corrupt` when the value is not of the type.
 */
export function encode(type: string, value: Value): Buffer {
  return encodeType(parseType(type), value);
}

function encodeType(type: Type, value: Value): Buffer {
  switch (type.kind) {
    case 'basic':
      return encodeBasic(type.code, value);
    case 'variant': {
      const inner = asVariant(value);
      return Buffer.concat([encodeType(parseType(inner.type), inner.value), Buffer.from(`\0${inner.type}`)]);
    }
    case 'maybe': {
      if (value === null) return Buffer.alloc(0);
      const inner = encodeType(type.element, type.element.kind === 'maybe' ? (asArray(value)[0] ?? null) : value);
      return type.element.fixed === null ? Buffer.concat([inner, Buffer.alloc(1)]) : inner;
    }
    case 'array':
      return encodeArray(type.element, value);
    case 'tuple':
    case 'entry':
      return encodeTuple(type, asArray(value));
  }
}

function encodeBasic(code: string, value: Value): Buffer {
  switch (code) {
    case 'b':
      return Buffer.from([asBoolean(value) ? 1 : 0]);
    case 'y':
      return Buffer.from([asNumber(value)]);
    case 'n':
    case 'q': {
      const bytes = Buffer.alloc(2);
      if (code === 'n') bytes.writeInt16LE(asNumber(value));
      else bytes.writeUInt16LE(asNumber(value));
      return bytes;
    }
    case 'i':
    case 'h':
    case 'u': {
      const bytes = Buffer.alloc(4);
      if (code === 'u') bytes.writeUInt32LE(asNumber(value));
      else bytes.writeInt32LE(asNumber(value));
      return bytes;
    }
    case 'x':
    case 't': {
      const bytes = Buffer.alloc(8);
      if (code === 'x') bytes.writeBigInt64LE(asBigint(value));
      else bytes.writeBigUInt64LE(asBigint(value));
      return bytes;
    }
    case 'd': {
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleLE(asNumber(value));
      return bytes;
    }
    default: {
      const text = asString(value);
      if (text.includes('\0')) throw new AtomicError('invalid', 'a GVariant string cannot hold a NUL byte');
      return Buffer.from(`${text}\0`);
    }
  }
}

function encodeArray(element: Type, value: Value): Buffer {
  if (element.kind === 'basic' && element.code === 'y') return asBytes(value);
  const items = asArray(value);
  if (items.length === 0) return Buffer.alloc(0);
  const parts = new Packer();
  for (const item of items) parts.add(encodeType(element, item), element.align);
  if (element.fixed === null) parts.offsets(parts.ends);
  return parts.bytes();
}

function encodeTuple(type: Extract<Type, { members: Type[] }>, values: Value[]): Buffer {
  const { members } = type;
  if (values.length !== members.length) {
    throw new AtomicError('invalid', `a GVariant tuple of ${members.length} got ${values.length} values`);
  }
  if (members.length === 0) return Buffer.alloc(1);
  const parts = new Packer();
  const framed: number[] = [];
  members.forEach((member, i) => {
    parts.add(encodeType(member, values[i] ?? null), member.align);
    if (member.fixed === null && i < members.length - 1) framed.unshift(parts.length);
  });
  if (type.fixed === null) parts.offsets(framed);
  else parts.pad(type.align);
  return parts.bytes();
}

/** Collects the aligned children of a container and then its framing offsets. */
class Packer {
  length = 0;
  readonly ends: number[] = [];
  readonly #parts: Buffer[] = [];

  pad(align: number): void {
    const gap = alignUp(this.length, align) - this.length;
    if (gap > 0) this.#push(Buffer.alloc(gap));
  }

  add(child: Buffer, align: number): void {
    this.pad(align);
    this.#push(child);
    this.ends.push(this.length);
  }

  offsets(values: number[]): void {
    if (values.length === 0) return;
    // The width depends on the size of the whole container, offsets included.
    let width = 1;
    while (width < 4 && this.length + values.length * width > 2 ** (8 * width) - 1) width *= 2;
    const table = Buffer.alloc(values.length * width);
    values.forEach((value, i) => {
      table.writeUIntLE(value, i * width, width);
    });
    this.#push(table);
    if (offsetSize(this.length) !== width) throw new AtomicError('invalid', 'a GVariant container is over 4 GiB');
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts, this.length);
  }

  #push(part: Buffer): void {
    this.#parts.push(part);
    this.length += part.length;
  }
}
