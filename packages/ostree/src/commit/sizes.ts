import { lstatSync } from 'node:fs';
import type { Value } from '../gvariant/value.ts';
import { type Checksum, checksumToBytes } from '../objects/checksum.ts';
import type { Stager } from '../repo/stager.ts';

type Sized = 'file' | 'dirtree' | 'dirmeta';
const CODES: Record<Sized, number> = { file: 1, dirtree: 2, dirmeta: 3 };

/** Gathers `ostree.sizes`: what every object of a commit takes in the repository, and unpacked. */
export class SizeList {
  readonly #objects = new Map<Checksum, { type: Sized; unpacked: number }>();

  /** `unpacked`: bytes of content, or of a symlink's target, or of the metadata. */
  add(type: Sized, checksum: Checksum, unpacked: number): void {
    if (!this.#objects.has(checksum)) this.#objects.set(checksum, { type, unpacked });
  }

  /** The value (`aay`): digest, packed and unpacked size as LEB128, type; in the order of the digests. Null when there is nothing. */
  value(stager: Stager): Value[] | null {
    if (this.#objects.size === 0) return null;
    return [...this.#objects]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([checksum, { type, unpacked }]) => {
        const packed = type === 'file' ? storedSize(stager, checksum) : unpacked;
        const digest = checksumToBytes(checksum);
        return Buffer.concat([digest, varint(packed), varint(unpacked), Buffer.of(CODES[type])]);
      });
  }
}

function storedSize(stager: Stager, checksum: Checksum): number {
  const path = stager.stagedPath('file', checksum);
  return (lstatSync(path, { throwIfNoEntry: false }) ?? lstatSync(stager.objectPath('file', checksum))).size;
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}
