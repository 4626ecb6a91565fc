/** A file, folder or link of an archive for the kernel. Paths are relative; folders come before what is in them. */
export type CpioEntry =
  | { path: string; kind: 'directory'; mode?: number }
  | { path: string; kind: 'symlink'; target: string }
  | { path: string; kind: 'file'; mode?: number; content: Buffer };

const KINDS = { directory: 0o040000, symlink: 0o120000, file: 0o100000 };
const MODES = { directory: 0o755, symlink: 0o777, file: 0o644 };

/** The header of a "newc" archive's entry (kernel: Documentation/driver-api/early-userspace/buffer-format.rst). */
export function cpioHeader(path: string, mode: number, size: number, inode: number): Buffer {
  const name = Buffer.from(`${path}\0`);
  const fields = [inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name.length, 0];
  const head = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
  return padded(Buffer.concat([Buffer.from(head), name]));
}

/** Bytes with zeros up to a multiple of four. */
const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, cpioPadding(bytes.length)]);
export const cpioPadding = (length: number): Buffer => Buffer.alloc((4 - (length % 4)) % 4);

/** The end of an archive, filled up so that another archive can follow. */
export const cpioEnd = (): Buffer => Buffer.concat([cpioHeader('TRAILER!!!', 0, 0, 0), Buffer.alloc(512)]);

/** An uncompressed archive of some files. Owner is root and the time is 0: the same files give the same bytes. */
export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  const parts: Buffer[] = [];
  entries.forEach((entry, i) => {
    const content =
      entry.kind === 'file' ? entry.content : entry.kind === 'symlink' ? Buffer.from(entry.target) : Buffer.alloc(0);
    const mode = KINDS[entry.kind] | ('mode' in entry ? (entry.mode ?? MODES[entry.kind]) : MODES[entry.kind]);
    parts.push(cpioHeader(entry.path, mode, content.length, i + 1), padded(content));
  });
  return Buffer.concat([...parts, cpioEnd()]);
}
