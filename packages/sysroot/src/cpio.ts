/** One entry of an initramfs: folders come before what is in them. */
export interface CpioEntry {
  /** Without a leading slash. */
  name: string;
  mode: number;
  uid: number;
  gid: number;
  /** Of a file, or the target of a link. */
  content: Buffer;
}

const pad = (length: number) => Buffer.alloc((4 - (length % 4)) % 4);

function entry(serial: number, { name, mode, uid, gid, content }: CpioEntry): Buffer[] {
  const bytes = Buffer.from(`${name}\0`);
  const numbers = [serial, mode, uid, gid, 1, 0, content.length, 0, 0, 0, 0, bytes.length, 0];
  const header = Buffer.from(`070701${numbers.map((number) => number.toString(16).padStart(8, '0')).join('')}`);
  return [header, bytes, pad(header.length + bytes.length), content, pad(content.length)];
}

/**
 * A cpio archive as the kernel unpacks it ("newc", Documentation/driver-api/early-userspace/buffer-format.rst), without
 * times or inode numbers: the same entries make the same bytes.
 */
export const makeCpio = (entries: readonly CpioEntry[]): Buffer =>
  Buffer.concat([
    ...entries.flatMap((one, index) => entry(index + 1, one)),
    ...entry(0, { name: 'TRAILER!!!', mode: 0, uid: 0, gid: 0, content: Buffer.alloc(0) }),
  ]);
