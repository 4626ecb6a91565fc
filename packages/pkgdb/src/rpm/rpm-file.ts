import { closeSync, openSync, readSync } from 'node:fs';
import { AtomicError, corrupt } from '@atomic/ostree';
import type { InstalledPackage } from '../package.ts';
import { RpmHeader } from './header.ts';
import { packageOfHeader } from './rpmdb.ts';

const LEAD = 96;
const LEAD_MAGIC = 0xedabeedb;
const HEADER_MAGIC = 0x8eade801;
const PREAMBLE = 16;
/** Bytes; a kernel's header, with all its modules' names, is a hundredth of this. */
const MAX_HEADER = 256 * 1024 * 1024;

/**
 * What a package file (.rpm) says it is: read from its header, without checking who signed it ("Package format v4" and
 * v6 of rpm: lead, signature header padded to 8 bytes, header). Throws AtomicError 'invalid' for anything else.
 */
export function readRpmFile(path: string): InstalledPackage {
  const file = openSync(path, 'r');
  try {
    const read = (at: number, length: number): Buffer => {
      const bytes = Buffer.alloc(length);
      if (readSync(file, bytes, 0, length, at) !== length) throw corrupt(`${path} is cut off`);
      return bytes;
    };
    const sizeAt = (at: number): number => {
      const preamble = read(at, PREAMBLE);
      const [count, size] = [preamble.readUInt32BE(8), preamble.readUInt32BE(12)];
      const length = 8 + count * 16 + size;
      if (preamble.readUInt32BE(0) !== HEADER_MAGIC || length > MAX_HEADER)
        throw corrupt(`${path} has no header of a package where it should be`);
      return length;
    };
    if (read(0, 4).readUInt32BE(0) !== LEAD_MAGIC) throw corrupt(`${path} does not begin as a package`);
    const signature = LEAD + 8 + sizeAt(LEAD);
    const header = Math.ceil(signature / 8) * 8;
    const found = packageOfHeader(new RpmHeader(read(header + 8, sizeAt(header))));
    if (found === null) throw corrupt(`${path} holds a key`);
    return found;
  } catch (error) {
    if (!(error instanceof AtomicError)) throw error;
    throw new AtomicError('invalid', `${path} is no RPM package: ${error.message}`, { cause: error });
  } finally {
    closeSync(file);
  }
}
