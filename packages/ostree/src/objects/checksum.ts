import { createHash } from 'node:crypto';
import { AtomicError, corrupt } from '../error.ts';

/** A SHA-256 in 64 lower-case hexadecimal digits: the name of every object. */
export type Checksum = string;

/** Whether a text is a checksum as ostree writes them: 64 hexadecimal digits, small letters. */
export const isChecksum = (text: string): boolean => /^[0-9a-f]{64}$/.test(text);

/** Returns `text` if it is a checksum, else throws `invalid`. */
export function validateChecksum(text: string): Checksum {
  if (!isChecksum(text)) throw new AtomicError('invalid', `'${text.slice(0, 80)}' is not a SHA-256 checksum`);
  return text;
}

/** SHA-256 of bytes. */
export const checksumBytes = (bytes: Uint8Array): Checksum => createHash('sha256').update(bytes).digest('hex');

/** The 32 binary bytes of a checksum, as dirtrees and commits hold it. */
export const checksumToBytes = (checksum: Checksum): Buffer => Buffer.from(checksum, 'hex');

/** Hex of a 32-byte digest; throws `corrupt` for any other length. */
export function checksumFromBytes(bytes: Uint8Array): Checksum {
  if (bytes.length !== 32) throw corrupt(`a checksum has ${bytes.length} bytes instead of 32`);
  const { buffer, byteOffset } = bytes;
  return Buffer.from(buffer, byteOffset, 32).toString('hex');
}
