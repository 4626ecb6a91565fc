import { open, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Range } from './partitions.ts';
import { run } from './tools.ts';

export interface WriteEspOptions {
  image: string;
  range: Range;
  /** Has what goes in; intermediate files too. */
  folder: string;
  /** Names in `folder` to put in. */
  entries: readonly string[];
  signal?: AbortSignal | undefined;
}

/** Make a FAT file of so many bytes with entries of a folder in it: no loop device, and no FAT in this kernel, is needed. */
export async function makeEsp(
  esp: string,
  length: number,
  { folder, entries, signal }: Pick<WriteEspOptions, 'folder' | 'entries' | 'signal'>,
): Promise<void> {
  await writeFile(esp, '');
  await truncate(esp, length);
  await run('mkfs.vfat', ['-n', 'ESP', esp], { signal });
  for (const entry of entries) await run('mcopy', ['-s', '-i', esp, join(folder, entry), '::'], { signal });
}

/** Put a FAT file where the EFI system partition of a disk lies. */
export async function placeEsp(esp: string, disk: string, range: Range): Promise<void> {
  const content = await readFile(esp);
  const file = await open(disk, 'r+');
  try {
    await file.write(content, 0, content.length, range.offset);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Fill the EFI system partition of a disk. */
export async function writeEsp({ image, range, ...from }: WriteEspOptions): Promise<void> {
  const esp = join(from.folder, 'esp.img');
  await makeEsp(esp, range.length, from);
  await placeEsp(esp, image, range);
}
