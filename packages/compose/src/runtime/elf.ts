import { AtomicError } from '@atomic/ostree';

/**
 * The part of a 64-bit little-endian ELF program that is needed to run it: all its segments, without section headers,
 * symbol and debug tables. Same input, same bytes on every machine, which a distribution's `strip` does not promise.
 * Format: ELF-64 object file format, file header and program header table.
 */
export function stripElf(elf: Buffer): Buffer {
  const known = elf.length > 64 && elf.readUInt32BE(0) === 0x7f454c46 && elf[4] === 2 && elf[5] === 1;
  if (!known) throw new AtomicError('invalid', 'the Node runtime is not a 64-bit little-endian ELF program');
  const tableOffset = Number(elf.readBigUInt64LE(32));
  const entrySize = elf.readUInt16LE(54);
  const count = elf.readUInt16LE(56);
  let end = tableOffset + entrySize * count;
  for (let i = 0; i < count; i++) {
    const at = tableOffset + i * entrySize;
    end = Math.max(end, Number(elf.readBigUInt64LE(at + 8) + elf.readBigUInt64LE(at + 32)));
  }
  if (end > elf.length) throw new AtomicError('invalid', 'the Node runtime is cut short');
  const stripped = Buffer.from(elf.subarray(0, end));
  stripped.writeBigUInt64LE(0n, 40); // e_shoff
  stripped.writeUInt16LE(0, 60); // e_shnum
  stripped.writeUInt16LE(0, 62); // e_shstrndx
  return stripped;
}
