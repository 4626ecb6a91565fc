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

/** Fill the EFI system partition. A FAT made as a file and copied in: no loop device, and no FAT in this kernel, is needed. */
export async function writeEsp({ image, range, folder, entries, signal }: WriteEspOptions): Promise<void> {
  const esp = join(folder, 'esp.img');
  await writeFile(esp, '');
  await truncate(esp, range.length);
  await run('mkfs.vfat', ['-n', 'ESP', esp], { signal });
  for (const entry of entries) await run('mcopy', ['-s', '-i', esp, join(folder, entry), '::'], { signal });
  const content = await readFile(esp);
  const file = await open(image, 'r+');
  try {
    await file.write(content, 0, content.length, range.offset);
  } finally {
    await file.close();
  }
}
