import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, rename, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ovfDescriptor } from './ovf.ts';
import { run } from './tools.ts';

/** How a disk can be packed: as it is, for QEMU, for VMware, or as an appliance that hypervisors import. */
export const IMAGE_FORMATS = ['raw', 'qcow2', 'vmdk', 'ova'] as const;
export type ImageFormat = (typeof IMAGE_FORMATS)[number];

export interface PackDiskOptions {
  /** The disk as a raw file. */
  raw: string;
  format: Exclude<ImageFormat, 'raw'>;
  /** The name it will get: an appliance's parts are named after it. */
  out: string;
  /** A folder for intermediate files, on the file system of the result. */
  scratch: string;
  /** Seconds since 1970 for what has a time. */
  timestamp: number;
  /** What an appliance says it is. */
  title: string;
  signal?: AbortSignal | undefined;
}

/** Turn a raw disk into another format; the path of the file made. */
export async function packDisk(options: PackDiskOptions): Promise<string> {
  const { raw, format, scratch, signal } = options;
  await mkdir(scratch, { recursive: true });
  const packed = join(scratch, `disk.${format === 'ova' ? 'vmdk' : format}`);
  // The form of VMDK that appliances have to hold; hypervisors take it alone as well.
  const vmdk = ['-o', 'subformat=streamOptimized,compat6'];
  await run(
    'qemu-img',
    ['convert', '-O', format === 'qcow2' ? 'qcow2' : 'vmdk', ...(format === 'qcow2' ? [] : vmdk), raw, packed],
    {
      signal,
    },
  );
  return format === 'ova' ? await packAppliance(packed, options) : packed;
}

/**
 * An OVA: a ustar archive of the descriptor, a manifest with checksums, and the disk, in this order (DMTF DSP0243,
 * "Distribution as a single file").
 */
async function packAppliance(disk: string, options: PackDiskOptions): Promise<string> {
  const { out, raw, scratch, timestamp, title, signal } = options;
  const name = basename(out).replace(/\.ova$/, '');
  const [descriptor, manifest, content] = [`${name}.ovf`, `${name}.mf`, `${name}-disk1.vmdk`];
  await rename(disk, join(scratch, content));
  const { size } = await stat(join(scratch, content));
  const text = ovfDescriptor({ name, title, disk: content, diskSize: size, capacity: (await stat(raw)).size });
  await writeFile(join(scratch, descriptor), text);
  const sums = [descriptor, content].map(
    async (file) => `SHA256(${file})= ${await sha256(join(scratch, file), signal)}\n`,
  );
  await writeFile(join(scratch, manifest), (await Promise.all(sums)).join(''));
  const packed = join(scratch, 'disk.ova');
  const same = ['--format=ustar', '--owner=root:0', '--group=root:0', '--mode=0644', `--mtime=@${timestamp}`];
  await run('tar', [...same, '-C', scratch, '-cf', packed, descriptor, manifest, content], { signal });
  return packed;
}

async function sha256(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash, { signal });
  return hash.digest('hex');
}
