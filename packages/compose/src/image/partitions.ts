import { run } from './tools.ts';

const SECTOR = 512;
const MIB = 1024 * 1024;

/** A partition's place in the image, in bytes. */
export interface Range {
  offset: number;
  length: number;
}

export interface Layout {
  /** GRUB's BIOS part lies here without a file system. */
  bios: Range;
  /** The EFI system partition. */
  esp: Range;
  /** /boot, where it is a partition of its own. */
  boot: Range | null;
  root: Range;
}

/**
 * Where the partitions of an image of `size` bytes lie: 1 MiB for GRUB, 32 MiB for UEFI, `bootSize` bytes for /boot (0:
 * it is part of the root), the rest the root.
 */
export function planLayout(size: number, bootSize = 0): Layout {
  const bios = { offset: MIB, length: MIB };
  const esp = { offset: 2 * MIB, length: 32 * MIB };
  const afterEsp = esp.offset + esp.length;
  const boot = bootSize === 0 ? null : { offset: afterEsp, length: Math.ceil(bootSize / MIB) * MIB };
  const start = afterEsp + (boot?.length ?? 0);
  // The last MiB holds the second copy of the partition table.
  const length = Math.floor(size / MIB) * MIB - MIB - start;
  return { bios, esp, boot, root: { offset: start, length } };
}

/** Write the GPT. Types: the UEFI and Discoverable Partitions specifications (/boot: XBOOTLDR). */
export async function writePartitionTable(image: string, layout: Layout, signal?: AbortSignal): Promise<void> {
  const line = (range: Range, type: string, name: string) =>
    `start=${range.offset / SECTOR}, size=${range.length / SECTOR}, type=${type}, name=${name}`;
  const script = [
    'label: gpt',
    line(layout.bios, '21686148-6449-6E6F-744E-656564454649', 'bios'),
    line(layout.esp, 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B', 'esp'),
    ...(layout.boot === null ? [] : [line(layout.boot, 'BC13C2FF-59E6-4262-A352-B275FD6F7172', 'boot')]),
    line(layout.root, '4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709', 'root'),
  ];
  // What was on a disk before must not be found again in a partition of the same place.
  await run('sfdisk', ['-q', '--wipe=always', '--wipe-partitions=always', image], {
    input: `${script.join('\n')}\n`,
    signal,
  });
}
