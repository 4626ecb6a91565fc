import { AtomicError } from '../error.ts';
import type { Xattr } from '../objects/xattrs.ts';

/** One member of an archive. */
export interface ArchiveEntry {
  /** As the archive has it. */
  path: string;
  type: 'file' | 'directory' | 'symlink' | 'hardlink' | 'other';
  /** Permission bits. */
  mode: number;
  uid: number;
  gid: number;
  /** Bytes of content. */
  size: number;
  /** Where a symlink or hard link points; empty for others. */
  target: string;
  xattrs: Xattr[];
  /** The content, to be read before the next entry is asked for; what is left of it is skipped. */
  content: AsyncIterable<Uint8Array>;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Text of an archive, up to a NUL; throws `invalid` for what is not UTF-8. `what` names it in the error. */
export function archiveText(bytes: Uint8Array, what: string): string {
  const nul = bytes.indexOf(0);
  try {
    return utf8.decode(nul < 0 ? bytes : bytes.subarray(0, nul));
  } catch (error) {
    throw new AtomicError('invalid', `Archive entry ${what} is not valid UTF-8`, { cause: error });
  }
}
