import { corrupt } from '../error.ts';
import { alignUp, isNarrowest, offsetSize, parseType, type Type } from './type.ts';
import type { Value } from './value.ts';

const MAX_VARIANT_DEPTH = 64;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads a value of GVariant type `type` from its serialised bytes. Only normal form is accepted, so that a checksum has
 * one meaning only: framing outside the container or wider than needed, padding that is not zero, bad UTF-8, a missing
 * NUL and so on throw `corrupt`. `ay` values are views of `bytes`, not copies.
 */
export function decode(type: string, bytes: Uint8Array): Value {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return new Decoder(buffer).value(parseType(type), 0, buffer.length, 0);
}

const malformed = () => corrupt('Not normal form: malformed GVariant data');

/** Works on offsets into one buffer: alignment is relative to each container's own start. */
class Decoder {
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  value(type: Type, start: number, end: number, depth: number): Value {
    if (end < start || (type.fixed !== null && end - start !== type.fixed)) throw malformed();
    switch (type.kind) {
      case 'basic':
        return this.#basic(type.code, start, end);
      case 'variant':
        return this.#variant(start, end, depth);
      case 'maybe': {
        if (start === end) return null;
        if (type.element.fixed === null && this.#bytes[end - 1] !== 0) throw malformed();
        const inner = this.value(type.element, start, type.element.fixed === null ? end - 1 : end, depth);
        // Boxed, for a nothing inside is not the nothing outside.
        return type.element.kind === 'maybe' ? [inner] : inner;
      }
      case 'array':
        return this.#array(type.element, start, end, depth);
      case 'tuple':
      case 'entry':
        return this.#tuple(type.members, type.fixed !== null, start, end, depth);
    }
  }

  #variant(start: number, end: number, depth: number): Value {
    let nul = end - 1;
    while (nul >= start && this.#bytes[nul] !== 0) nul--;
    if (nul < start || depth > MAX_VARIANT_DEPTH) throw malformed();
    const type = this.#bytes.toString('latin1', nul + 1, end);
    return { type, value: this.value(parseType(type), start, nul, depth + 1) };
  }

  #basic(code: string, start: number, end: number): Value {
    const bytes = this.#bytes;
    switch (code) {
      case 'b': {
        const byte = bytes[start] ?? 0;
        if (byte > 1) throw malformed();
        return byte === 1;
      }
      case 'y':
        return bytes[start] ?? 0;
      case 'n':
        return bytes.readInt16LE(start);
      case 'q':
        return bytes.readUInt16LE(start);
      case 'i':
      case 'h':
        return bytes.readInt32LE(start);
      case 'u':
        return bytes.readUInt32LE(start);
      case 'x':
        return bytes.readBigInt64LE(start);
      case 't':
        return bytes.readBigUInt64LE(start);
      case 'd':
        return bytes.readDoubleLE(start);
      default:
        return this.#string(start, end);
    }
  }

  #string(start: number, end: number): string {
    const bytes = this.#bytes;
    const last = end - 1;
    if (last < start || bytes[last] !== 0) throw malformed();
    let ascii = true;
    for (let at = start; at < last; at++) {
      const byte = bytes[at] ?? 0;
      if (byte === 0) throw malformed();
      if (byte > 0x7f) ascii = false;
    }
    if (ascii) return bytes.toString('latin1', start, last);
    try {
      return utf8.decode(bytes.subarray(start, last));
    } catch {
      throw malformed();
    }
  }

  #array(element: Type, start: number, end: number, depth: number): Value {
    if (element.kind === 'basic' && element.code === 'y') return this.#bytes.subarray(start, end);
    const size = end - start;
    if (size === 0) return [];
    const items: Value[] = [];
    if (element.fixed !== null) {
      if (size % element.fixed !== 0) throw malformed();
      for (let at = start; at < end; at += element.fixed) {
        items.push(this.value(element, at, at + element.fixed, depth));
      }
      return items;
    }
    const width = offsetSize(size);
    const tableAt = start + this.#offset(end - width, start, end, width);
    if (tableAt >= end || (end - tableAt) % width !== 0) throw malformed();
    const count = (end - tableAt) / width;
    checkWidth(size - count * width, count, width);
    let at = start;
    for (let i = 0; i < count; i++) {
      const itemEnd = start + this.#offset(tableAt + i * width, start, end, width);
      if (itemEnd > tableAt) throw malformed();
      at = this.#pad(at, start, element.align, itemEnd);
      items.push(this.value(element, at, itemEnd, depth));
      at = itemEnd;
    }
    return items;
  }

  #tuple(members: Type[], fixed: boolean, start: number, end: number, depth: number): Value[] {
    if (members.length === 0) {
      if (this.#bytes[start] !== 0) throw malformed();
      return [];
    }
    const size = end - start;
    let framed = 0;
    for (let i = 0; i < members.length - 1; i++) if (members[i]?.fixed === null) framed++;
    const width = fixed ? 0 : offsetSize(size);
    const bodyEnd = end - framed * width;
    if (bodyEnd < start) throw malformed();
    checkWidth(bodyEnd - start, framed, width);
    const values: Value[] = [];
    let at = start;
    let frame = end;
    for (let i = 0; i < members.length; i++) {
      const member = members[i];
      if (member === undefined) break;
      at = this.#pad(at, start, member.align, bodyEnd);
      let memberEnd: number;
      if (member.fixed !== null) memberEnd = at + member.fixed;
      else if (i === members.length - 1) memberEnd = bodyEnd;
      else {
        frame -= width;
        memberEnd = start + this.#offset(frame, start, end, width);
      }
      if (memberEnd > bodyEnd) throw malformed();
      values.push(this.value(member, at, memberEnd, depth));
      at = memberEnd;
    }
    // Only a fixed-size tuple is padded at its end.
    if (fixed) at = this.#zero(at, end);
    if (at !== bodyEnd) throw malformed();
    return values;
  }

  /** Steps over the padding before a child that begins at a multiple of `align`; it must be zero and fit. */
  #pad(at: number, start: number, align: number, limit: number): number {
    const next = start + alignUp(at - start, align);
    if (next > limit) throw malformed();
    return this.#zero(at, next);
  }

  #zero(at: number, end: number): number {
    for (let i = at; i < end; i++) if (this.#bytes[i] !== 0) throw malformed();
    return end;
  }

  #offset(at: number, start: number, end: number, width: number): number {
    if (width === 0 || at < start || at + width > end) throw malformed();
    switch (width) {
      case 1:
        return this.#bytes[at] ?? 0;
      case 2:
        return this.#bytes.readUInt16LE(at);
      default:
        return this.#bytes.readUInt32LE(at);
    }
  }
}

function checkWidth(body: number, count: number, width: number): void {
  if (!isNarrowest(body, count, width)) throw malformed();
}
