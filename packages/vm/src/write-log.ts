import { type FileHandle, open } from 'node:fs/promises';
import { AtomicError } from '@atomic/ostree';

/** A write to a disk, or a flush: all that was written before it is there for good. */
export interface LoggedWrite {
  /** Where on the disk, and how much, in bytes; 0 for a flush alone. */
  offset: number;
  length: number;
  flush: boolean;
  /** Where in the log the data is, in bytes. */
  at: number;
}

// linux/drivers/md/dm-log-writes.c: the superblock and the entries are little endian, each in a sector of its own.
const MAGIC = 0x6a736677736872n;
const FLUSH = 1n;
const DISCARD = 4n;
const MARK = 8n;

/** What QEMU's blklogwrites driver wrote down, in order. Format: dm-log-writes, version 1. Throws `corrupt`. */
export async function readWriteLog(path: string): Promise<LoggedWrite[]> {
  await using file = await open(path, 'r');
  const head = Buffer.alloc(32);
  const read = async (at: number) => {
    const { bytesRead } = await file.read(head, 0, head.length, at);
    if (bytesRead < head.length) throw new AtomicError('corrupt', `${path} ends too early`);
  };
  await read(0);
  if (head.readBigUInt64LE(0) !== MAGIC) throw new AtomicError('corrupt', `${path} is not a log of writes`);
  const count = Number(head.readBigUInt64LE(16));
  const sector = head.readUInt32LE(24);
  const writes: LoggedWrite[] = [];
  for (let index = 0, at = sector; index < count; index++) {
    await read(at);
    at += sector;
    const flags = head.readBigUInt64LE(16);
    const length = Number(head.readBigUInt64LE(8)) * sector;
    const flush = (flags & FLUSH) !== 0n;
    if ((flags & (DISCARD | MARK)) !== 0n) continue;
    writes.push({ offset: Number(head.readBigUInt64LE(0)) * sector, length, flush, at });
    at += length;
  }
  return writes;
}

/** Does logged writes again, on another image. */
export async function replayWrites(log: FileHandle, image: FileHandle, writes: readonly LoggedWrite[]): Promise<void> {
  for (const { offset, length, at } of writes) {
    if (length === 0) continue;
    const data = Buffer.allocUnsafe(length);
    const { bytesRead } = await log.read(data, 0, length, at);
    if (bytesRead < length) throw new AtomicError('corrupt', 'the log of writes ends in the middle of one');
    await image.write(data, 0, length, offset);
  }
}
