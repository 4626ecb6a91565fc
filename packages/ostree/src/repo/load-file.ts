import {
  closeSync,
  createReadStream,
  lstatSync,
  openSync,
  readFileSync,
  readlinkSync,
  readSync,
  type Stats,
} from 'node:fs';
import type { Readable } from 'node:stream';
import { createInflateRaw, inflateRawSync } from 'node:zlib';
import { lgetxattr, readXattrs } from '@atomic/linux';
import { AtomicError, corrupt } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import { archiveHeaderLength, type FileHeader, parseArchiveHeader, parseBareUserMeta } from '../objects/file.ts';
import { isSymlink } from '../objects/mode.ts';
import type { Repo } from './repo.ts';

/** A content object in a repository. Nothing is verified here: fsck and the importers do that. */
export interface StoredFile {
  header: FileHeader;
  /** Bytes of content; 0 for a symlink. */
  size: number;
  /** The object's own file when it holds the plain content (any mode but archive), else null. */
  path: string | null;
  open(): Readable;
  readContent(): Buffer;
}

/** See {@link Repo.loadFile}; throws `not-found`. */
export function loadFileObject(repo: Repo, checksum: Checksum): StoredFile {
  const path = repo.objectPath('file', checksum);
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw new AtomicError('not-found', `No such file object ${checksum}`);
  return repo.archive ? loadArchive(path, checksum) : plain(path, bareHeader(repo, path, stat, checksum), stat);
}

function bareHeader(repo: Repo, path: string, stat: Stats, checksum: Checksum): FileHeader {
  if (repo.mode === 'bare-user') {
    const meta = lgetxattr(path, 'user.ostreemeta');
    if (meta === null) throw corrupt(`${checksum}.file has no user.ostreemeta attribute`);
    const header = parseBareUserMeta(meta);
    // libostree stores the target with its NUL.
    if (isSymlink(header.mode)) header.target = readFileSync(path, 'utf8').replace(/\0$/, '');
    return header;
  }
  const target = stat.isSymbolicLink() ? readlinkSync(path) : '';
  if (repo.mode === 'bare-user-only') return { uid: 0, gid: 0, mode: stat.mode, target, xattrs: [] };
  return { uid: stat.uid, gid: stat.gid, mode: stat.mode, target, xattrs: readXattrs(path) };
}

function plain(path: string, header: FileHeader, stat: Stats): StoredFile {
  const size = isSymlink(header.mode) ? 0 : stat.size;
  return {
    header,
    size,
    path,
    open: () => createReadStream(path, { highWaterMark: 1 << 20 }),
    readContent: () => (size === 0 ? Buffer.alloc(0) : readFileSync(path)),
  };
}

const FIRST_READ = 4096;

function loadArchive(path: string, checksum: Checksum): StoredFile {
  const fd = openSync(path, 'r');
  let start: Buffer = Buffer.alloc(FIRST_READ);
  try {
    start = start.subarray(0, readSync(fd, start, 0, FIRST_READ, 0));
    const needed = archiveHeaderLength(start);
    if (needed > start.length) {
      const whole = Buffer.alloc(needed);
      start = whole.subarray(0, readSync(fd, whole, 0, needed, 0));
    }
  } catch (error) {
    throw corrupt(
      `Corrupted object ${checksum}.filez: ${error instanceof Error ? error.message : String(error)}`,
      error,
    );
  } finally {
    closeSync(fd);
  }
  const { header, size, length } = parseArchiveHeader(start);
  return {
    header,
    size,
    path: null,
    open: () => {
      const inflate = createInflateRaw();
      const source = createReadStream(path, { start: length, highWaterMark: 1 << 18 });
      source.on('error', (error) => inflate.destroy(error));
      return source.pipe(inflate);
    },
    readContent: () => {
      if (isSymlink(header.mode) || size === 0) return Buffer.alloc(0);
      try {
        return inflateRawSync(readFileSync(path).subarray(length), { maxOutputLength: size + 1 });
      } catch (error) {
        throw corrupt(
          `Corrupted object ${checksum}.filez: ${error instanceof Error ? error.message : String(error)}`,
          error,
        );
      }
    },
  };
}
