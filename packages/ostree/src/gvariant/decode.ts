import { corrupt } from '../error.ts';
import { encode } from './encode.ts';
import { alignUp, offsetSize, parseType, type Type } from './type.ts';
import type { Value } from './value.ts';

const MAX_VARIANT_DEPTH = 64;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads a value of GVariant type `type` from its serialised bytes. Only normal form is accepted: framing outside
 * the container, bad UTF-8, a missing NUL and so on throw `corrupt`. `checkNormal` (the default) also re-encodes and
 * compares, which catches every other deviation (padding, offset order), so a checksum has one meaning only.
 */
export function decode(type: string, bytes: Uint8Array, options: { checkNormal?: boolean } = {}): Value {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const value = decodeType(parseType(type), buffer, 0);
  if (options.checkNormal !== false && !encode(type, value).equals(buffer)) {
    throw corrupt(`GVariant of type ${type} is not in normal form`);
  }
  return value;
}

const malformed = () => corrupt('malformed GVariant data');

function slice(bytes: Buffer, start: number, end: number): Buffer {
  if (start < 0 || end < start || end > bytes.length) throw malformed();
  return bytes.subarray(start, end);
}

function decodeType(type: Type, bytes: Buffer, depth: number): Value {
  if (type.fixed !== null && bytes.length !== type.fixed) throw malformed();
  switch (type.kind) {
    case 'basic':
      return decodeBasic(type.code, bytes);
    case 'variant': {
      const nul = bytes.lastIndexOf(0);
      if (nul < 0 || depth > MAX_VARIANT_DEPTH) throw malformed();
      const inner = bytes.toString('latin1', nul + 1);
      return { type: inner, value: decodeType(parseType(inner), bytes.subarray(0, nul), depth + 1) };
    }
    case 'maybe': {
      if (bytes.length === 0) return null;
      return decodeType(type.element, type.element.fixed === null ? bytes.subarray(0, -1) : bytes, depth);
    }
    case 'array':
      return decodeArray(type.element, bytes, depth);
    case 'tuple':
    case 'entry':
      return decodeTuple(type.members, type.fixed !== null, bytes, depth);
  }
}

function decodeBasic(code: string, bytes: Buffer): Value {
  switch (code) {
    case 'b':
      return bytes[0] === 1;
    case 'y':
      return bytes.readUInt8(0);
    case 'n':
      return bytes.readInt16LE(0);
    case 'q':
      return bytes.readUInt16LE(0);
    case 'i':
    case 'h':
      return bytes.readInt32LE(0);
    case 'u':
      return bytes.readUInt32LE(0);
    case 'x':
      return bytes.readBigInt64LE(0);
    case 't':
      return bytes.readBigUInt64LE(0);
    case 'd':
      return bytes.readDoubleLE(0);
    default: {
      if (bytes.length === 0 || bytes.indexOf(0) !== bytes.length - 1) throw malformed();
      try {
        return utf8.decode(bytes.subarray(0, -1));
      } catch {
        throw malformed();
      }
    }
  }
}

function decodeArray(element: Type, bytes: Buffer, depth: number): Value {
  if (element.kind === 'basic' && element.code === 'y') return bytes;
  if (bytes.length === 0) return [];
  const items: Value[] = [];
  if (element.fixed !== null) {
    if (bytes.length % element.fixed !== 0) throw malformed();
    for (let at = 0; at < bytes.length; at += element.fixed) {
      items.push(decodeType(element, bytes.subarray(at, at + element.fixed), depth));
    }
    return items;
  }
  const width = offsetSize(bytes.length);
  const table = readOffset(bytes, bytes.length - width, width);
  if (table > bytes.length || (bytes.length - table) % width !== 0) throw malformed();
  const count = (bytes.length - table) / width;
  for (let i = 0, start = 0; i < count; i++) {
    const end = readOffset(bytes, table + i * width, width);
    if (end > table) throw malformed();
    items.push(decodeType(element, slice(bytes, alignUp(start, element.align), end), depth));
    start = end;
  }
  return items;
}

function decodeTuple(members: Type[], fixed: boolean, bytes: Buffer, depth: number): Value[] {
  const width = fixed ? 0 : offsetSize(bytes.length);
  const values: Value[] = [];
  let at = 0;
  let frame = bytes.length;
  const framed = members.filter((member, i) => member.fixed === null && i < members.length - 1).length;
  const bodyEnd = bytes.length - framed * width;
  members.forEach((member, i) => {
    const start = alignUp(at, member.align);
    let end: number;
    if (member.fixed !== null) end = start + member.fixed;
    else if (i === members.length - 1) end = bodyEnd;
    else {
      frame -= width;
      end = readOffset(bytes, frame, width);
    }
    if (!fixed && end > bodyEnd) throw malformed();
    values.push(decodeType(member, slice(bytes, start, end), depth));
    at = end;
  });
  return values;
}

function readOffset(bytes: Buffer, at: number, width: number): number {
  if (width === 0 || at < 0 || at + width > bytes.length) throw malformed();
  return bytes.readUIntLE(at, width);
}
