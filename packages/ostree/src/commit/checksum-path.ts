import {
  closeSync,
  constants,
  createReadStream,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
  type Stats,
} from 'node:fs';
import { readXattrs } from '@atomic/linux';
import { AtomicError } from '../error.ts';
import { type Checksum, checksumBytes } from '../objects/checksum.ts';
import { serializeDirMeta } from '../objects/dirmeta.ts';
import { contentHasher, type FileHeader } from '../objects/file.ts';
import { explain } from '../repo/explain.ts';

export interface ChecksumOptions {
  /** Leave extended attributes out. */
  ignoreXattrs?: boolean | undefined;
  /** As a bare-user-only repository sees files: owned by root, no permissions but 0775. */
  canonicalPermissions?: boolean | undefined;
  /** Owner and group to assume instead of the file's own. */
  uid?: number | undefined;
  gid?: number | undefined;
}

const PIECE = 1 << 20;

function headerOf(path: string, stat: Stats, options: ChecksumOptions): FileHeader {
  if (!stat.isFile() && !stat.isSymbolicLink())
    throw new AtomicError('invalid', `Not a regular file or symlink: ${path}`);
  const { canonicalPermissions } = options;
  return {
    uid: options.uid ?? (canonicalPermissions ? 0 : stat.uid),
    gid: options.gid ?? (canonicalPermissions ? 0 : stat.gid),
    mode: canonicalPermissions && stat.isFile() ? stat.mode & 0o100775 : stat.mode,
    target: stat.isSymbolicLink() ? readlinkSync(path) : '',
    xattrs: options.ignoreXattrs ? [] : readXattrs(path),
  };
}

function inspect(path: string): Stats {
  try {
    return lstatSync(path);
  } catch (error) {
    throw explain(error, path);
  }
}

/**
 * The checksum that the file or symlink at `path` would have as a content object, or the directory as a dirmeta.
 * Throws `invalid` for other kinds, and `not-found`.
 */
export async function checksumPath(
  path: string,
  options: ChecksumOptions & { signal?: AbortSignal | undefined } = {},
): Promise<Checksum> {
  const stat = inspect(path);
  if (stat.isDirectory()) {
    const xattrs = options.ignoreXattrs ? [] : readXattrs(path);
    return checksumBytes(serializeDirMeta({ uid: stat.uid, gid: stat.gid, mode: stat.mode, xattrs }));
  }
  const hasher = contentHasher(headerOf(path, stat, options));
  if (stat.isFile()) {
    const { signal } = options;
    const stream = createReadStream(path, { highWaterMark: PIECE, ...(signal === undefined ? {} : { signal }) });
    for await (const chunk of stream) hasher.update(chunk);
  }
  return hasher.digest();
}

/** {@link checksumPath} in one go, for callers that cannot wait. */
export function checksumFile(path: string, options: ChecksumOptions = {}): Checksum {
  const stat = inspect(path);
  const hasher = contentHasher(headerOf(path, stat, options));
  if (!stat.isFile()) return hasher.digest();
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const buffer = Buffer.allocUnsafe(Math.min(PIECE, stat.size + 1));
    for (let got = 1; got > 0; ) {
      got = readSync(fd, buffer, 0, buffer.length, null);
      hasher.update(buffer.subarray(0, got));
    }
  } finally {
    closeSync(fd);
  }
  return hasher.digest();
}
