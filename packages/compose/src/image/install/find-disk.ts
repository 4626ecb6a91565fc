import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { AtomicError } from '@atomic/ostree';

export interface Disk {
  /** Such as /dev/vda. */
  device: string;
  /** Bytes. */
  size: number;
}

const VIRTUAL = /^(loop|ram|zram|sr|fd|dm-|md|nbd)/;

/**
 * The disk to install to: the one that is named, or with `auto` the only one there is beside the medium. Throws
 * `not-found`, and `invalid` where somebody has to choose: nothing is overwritten on a guess.
 */
export function findDisk(wanted: string, medium: string | undefined): Disk {
  if (wanted !== 'auto') {
    let device: string;
    try {
      device = realpathSync(wanted);
    } catch (cause) {
      throw new AtomicError('not-found', `there is no disk ${wanted}`, { cause });
    }
    const disk = basename(device);
    if (!existsSync(join('/sys/block', disk)))
      throw new AtomicError('invalid', `${wanted} is no disk${isPartition(disk) ? ', but a partition of one' : ''}`, {
        hint: `there are ${listed(readdirSync('/sys/block').filter((name) => !VIRTUAL.test(name)))}`,
      });
    return { device, size: sizeOf(disk) };
  }
  const own = medium === undefined ? undefined : wholeDisk(basename(realpathSync(medium)));
  const disks = readdirSync('/sys/block').filter(
    (name) => !VIRTUAL.test(name) && name !== own && number(name, 'ro') === 0 && sizeOf(name) > 0,
  );
  const [disk, ...more] = disks;
  if (disk === undefined) throw new AtomicError('not-found', 'there is no disk to install to');
  if (more.length > 0)
    throw new AtomicError('invalid', `there are ${disks.length} disks: ${listed(disks)}`, {
      hint: "name one in the configuration, with 'disk'",
    });
  return { device: `/dev/${disk}`, size: sizeOf(disk) };
}

/** The disk a partition is on; a disk itself. */
function wholeDisk(name: string): string {
  const folder = realpathSync(join('/sys/class/block', name));
  const parent = basename(join(folder, '..'));
  return parent === 'block' ? name : parent;
}

const isPartition = (name: string): boolean => existsSync(join('/sys/class/block', name, 'partition'));
const listed = (names: readonly string[]): string => names.map((name) => `/dev/${name}`).join(', ') || 'none';
const number = (name: string, file: string): number =>
  Number(readFileSync(join('/sys/class/block', name, file), 'utf8').trim());
const sizeOf = (name: string): number => number(name, 'size') * 512;
