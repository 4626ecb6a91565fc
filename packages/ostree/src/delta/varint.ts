import { corrupt } from '../error.ts';

/** Reads LEB128 numbers from a buffer, one after another. */
export class VarintReader {
  readonly bytes: Buffer;
  at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get done(): boolean {
    return this.at >= this.bytes.length;
  }

  byte(): number {
    const byte = this.bytes[this.at];
    if (byte === undefined) throw corrupt('Unexpected EOF reading varint');
    this.at++;
    return byte;
  }

  /** One number; throws `corrupt` at the end of the data and above 2^53. */
  read(): number {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < 10; count++) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) throw corrupt(`a number in the delta is too large (${value})`);
        return value;
      }
      scale *= 128;
    }
    throw corrupt('Unexpected EOF reading varint');
  }
}

/** Bytes that grow, with LEB128 numbers among them. */
export class ByteWriter {
  #buffer: Buffer;
  length = 0;

  constructor(capacity = 1024) {
    this.#buffer = Buffer.allocUnsafe(capacity);
  }

  #room(more: number): void {
    if (this.length + more <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.length + more));
    this.#buffer.copy(grown, 0, 0, this.length);
    this.#buffer = grown;
  }

  byte(value: number): void {
    this.#room(1);
    this.#buffer[this.length++] = value;
  }

  varint(value: number): void {
    this.#room(10);
    let rest = value;
    while (rest >= 0x80) {
      this.#buffer[this.length++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    this.#buffer[this.length++] = rest;
  }

  push(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#buffer.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** A copy of what was written, after which there is nothing. */
  take(): Buffer {
    const bytes = Buffer.from(this.bytes());
    this.length = 0;
    return bytes;
  }

  /** A view of what was written, valid until the next write. */
  bytes(): Buffer {
    return this.#buffer.subarray(0, this.length);
  }
}
