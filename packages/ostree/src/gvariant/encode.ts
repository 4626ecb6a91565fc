import { AtomicError } from '../error.ts';
import { alignUp, offsetSize, parseType, type Type } from './type.ts';
import { asArray, asBigint, asBoolean, asBytes, asNumber, asString, asVariant, type Value } from './value.ts';

/**
 * Serialises a value of GVariant type `type` in normal form, little-endian (the specification: "GVariant
 * Specification 1.0", chapter 2). Throws `corrupt` when the value is not of the type.
 */
export function encode(type: string, value: Value): Buffer {
  const parsed = parseType(type);
  if (parsed.kind === 'array' && parsed.element.kind === 'basic' && parsed.element.code === 'y') return asBytes(value);
  const writer = new Writer();
  writer.value(parsed, value);
  return writer.bytes();
}

/**
 * Writes everything into one buffer that grows. A container begins at a multiple of its alignment, which its children's
 * divide, so alignment can be reckoned from the buffer's beginning.
 */
class Writer {
  #buffer = Buffer.allocUnsafe(512);
  #length = 0;

  bytes(): Buffer {
    return Buffer.from(this.#buffer.subarray(0, this.#length));
  }

  value(type: Type, value: Value): void {
    switch (type.kind) {
      case 'basic':
        this.#basic(type.code, value);
        break;
      case 'variant': {
        const inner = asVariant(value);
        const innerType = parseType(inner.type);
        this.value(innerType, inner.value);
        this.#zero(1);
        this.#text(inner.type);
        break;
      }
      case 'maybe':
        if (value === null) break;
        this.value(type.element, type.element.kind === 'maybe' ? (asArray(value)[0] ?? null) : value);
        if (type.element.fixed === null) this.#zero(1);
        break;
      case 'array':
        this.#array(type.element, value);
        break;
      case 'tuple':
      case 'entry':
        this.#tuple(type, asArray(value));
    }
  }

  #array(element: Type, value: Value): void {
    if (element.kind === 'basic' && element.code === 'y') {
      this.#raw(asBytes(value));
      return;
    }
    const start = this.#length;
    const ends: number[] = [];
    for (const item of asArray(value)) {
      this.#align(element.align);
      this.value(element, item);
      if (element.fixed === null) ends.push(this.#length - start);
    }
    this.#offsets(start, ends);
  }

  #tuple(type: Extract<Type, { members: Type[] }>, values: Value[]): void {
    const { members } = type;
    if (values.length !== members.length) {
      throw new AtomicError('invalid', `a GVariant tuple of ${members.length} got ${values.length} values`);
    }
    if (members.length === 0) this.#zero(1);
    const start = this.#length;
    const ends: number[] = [];
    for (let i = 0; i < members.length; i++) {
      const member = members[i];
      if (member === undefined) break;
      this.#align(member.align);
      this.value(member, values[i] ?? null);
      if (member.fixed === null && i < members.length - 1) ends.push(this.#length - start);
    }
    if (type.fixed === null) this.#offsets(start, ends.reverse());
    else this.#align(type.align);
  }

  #basic(code: string, value: Value): void {
    switch (code) {
      case 'b':
        this.#room(1);
        this.#buffer[this.#length++] = asBoolean(value) ? 1 : 0;
        return;
      case 'y':
        this.#room(1);
        this.#length = this.#buffer.writeUInt8(asNumber(value), this.#length);
        return;
      case 'n':
        this.#room(2);
        this.#length = this.#buffer.writeInt16LE(asNumber(value), this.#length);
        return;
      case 'q':
        this.#room(2);
        this.#length = this.#buffer.writeUInt16LE(asNumber(value), this.#length);
        return;
      case 'i':
      case 'h':
        this.#room(4);
        this.#length = this.#buffer.writeInt32LE(asNumber(value), this.#length);
        return;
      case 'u':
        this.#room(4);
        this.#length = this.#buffer.writeUInt32LE(asNumber(value), this.#length);
        return;
      case 'x':
        this.#room(8);
        this.#length = this.#buffer.writeBigInt64LE(asBigint(value), this.#length);
        return;
      case 't':
        this.#room(8);
        this.#length = this.#buffer.writeBigUInt64LE(asBigint(value), this.#length);
        return;
      case 'd':
        this.#room(8);
        this.#length = this.#buffer.writeDoubleLE(asNumber(value), this.#length);
        return;
      default: {
        const text = asString(value);
        if (text.includes('\0')) throw new AtomicError('invalid', 'a GVariant string cannot hold a NUL byte');
        this.#text(text);
        this.#zero(1);
      }
    }
  }

  #text(text: string): void {
    this.#room(text.length * 3);
    this.#length += this.#buffer.write(text, this.#length);
  }

  #raw(bytes: Buffer): void {
    this.#room(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** Framing offsets, as wide as the size of the whole container asks for, themselves included. */
  #offsets(start: number, ends: readonly number[]): void {
    if (ends.length === 0) return;
    const body = this.#length - start;
    let width = 1;
    while (width < 4 && body + ends.length * width > 2 ** (8 * width) - 1) width *= 2;
    const total = body + ends.length * width;
    if (offsetSize(total) !== width || total > 0xffffffff) {
      throw new AtomicError('invalid', 'a GVariant container is over 4 GiB');
    }
    this.#room(ends.length * width);
    for (const end of ends) this.#length = this.#buffer.writeUIntLE(end, this.#length, width);
  }

  #align(align: number): void {
    this.#zero(alignUp(this.#length, align) - this.#length);
  }

  #zero(count: number): void {
    this.#room(count);
    for (let i = 0; i < count; i++) this.#buffer[this.#length++] = 0;
  }

  #room(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
  }
}
