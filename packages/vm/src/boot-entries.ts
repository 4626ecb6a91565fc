import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';
import { capture, requireTool } from './process.ts';

const PartitionTable = z.object({
  partitiontable: z.object({
    sectorsize: z.number().default(512),
    partitions: z.array(z.object({ start: z.number(), size: z.number(), name: z.string().optional() })),
  }),
});

/** A Boot Loader Specification entry as it lies on the disk. */
export interface BootEntry {
  file: string;
  title: string;
  version: number;
  linux: string;
  initrd: string;
  options: string;
}

export interface PartitionRange {
  offset: number;
  length: number;
}

async function findPartition(disk: string, name: string): Promise<PartitionRange | null> {
  const json = await capture(requireTool('sfdisk', 'fdisk'), ['-J', disk]);
  const table = PartitionTable.parse(JSON.parse(json.toString())).partitiontable;
  const partition = table.partitions.find((p) => p.name === name);
  if (!partition) return null;
  return { offset: partition.start * table.sectorsize, length: partition.size * table.sectorsize };
}

/** Byte offset and length of the partition named `name` in a raw GPT image. */
export async function partitionRange(disk: string, name = 'root'): Promise<PartitionRange> {
  const range = await findPartition(disk, name);
  if (range === null) throw new AtomicError('not-found', `${disk} has no partition named ${name}`);
  return range;
}

/** Where /boot is: a partition named `boot`, else a folder of the root. */
async function bootFolder(disk: string): Promise<{ offset: number; folder: string }> {
  const own = await findPartition(disk, 'boot');
  if (own !== null) return { offset: own.offset, folder: '' };
  return { offset: (await partitionRange(disk)).offset, folder: '/boot' };
}

// -c opens the file system in the middle of an update too, and never replays the journal: what a boot loader sees.
async function debugfs(disk: string, offset: number, command: string): Promise<Buffer> {
  return capture(requireTool('debugfs', 'e2fsprogs'), ['-c', '-R', command, `${disk}?offset=${offset}`]);
}

function checkPath(path: string): string {
  if (!/^\/[\w./@+~=:-]+$/.test(path) || path.split('/').includes('..'))
    throw new AtomicError('corrupt', `boot entry names an unusable path: ${path}`);
  return path;
}

/**
 * The boot entries of a raw disk, the default first, read as a boot loader reads them: without mounting and
 * without replaying the journal. Format: the Boot Loader Specification, type 1.
 */
export async function readBootEntries(disk: string): Promise<BootEntry[]> {
  const { offset, folder } = await bootFolder(disk);
  const listing = (await debugfs(disk, offset, `ls -p ${folder}/loader/entries`)).toString();
  const entries: BootEntry[] = [];
  for (const line of listing.split('\n')) {
    const file = line.split('/')[5];
    if (!file?.endsWith('.conf')) continue;
    const text = (await debugfs(disk, offset, `cat ${checkPath(`${folder}/loader/entries/${file}`)}`)).toString();
    const field = (key: string) => new RegExp(`^${key}[ \\t]+(.*)$`, 'm').exec(text)?.[1]?.trim() ?? '';
    entries.push({
      file,
      title: field('title'),
      version: Number(field('version') || '0'),
      linux: field('linux'),
      initrd: field('initrd'),
      options: field('options'),
    });
  }
  return entries.sort((a, b) => b.version - a.version);
}

/** Copy the kernel and initramfs an entry names out of a raw disk into `folder`. */
export async function extractKernel(
  disk: string,
  entry: BootEntry,
  folder: string,
): Promise<{ kernel: string; initrd: string; options: string }> {
  const { offset, folder: boot } = await bootFolder(disk);
  const dump = async (path: string, name: string) => {
    // An entry's paths are relative to the boot partition, or to the root when both are one.
    const onDisk = checkPath(path.startsWith(`${boot}/`) ? path : `${boot}${path}`);
    const target = join(folder, name);
    await debugfs(disk, offset, `dump ${onDisk} ${target}`);
    const { size } = await stat(target).catch(() => ({ size: 0 }));
    if (size === 0)
      throw new AtomicError('corrupt', `boot entry ${entry.file} names ${path}, which is not on the disk`);
    return target;
  };
  return {
    kernel: await dump(entry.linux, 'kernel'),
    initrd: await dump(entry.initrd, 'initrd'),
    options: entry.options,
  };
}
