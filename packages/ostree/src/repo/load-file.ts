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
import { Readable } from 'node:stream';
import { createInflateRaw, inflateRawSync } from 'node:zlib';
import { errnoCode, lgetxattr, readXattrs, type Xattr } from '@atomic/linux';
import { AtomicError, corrupt } from '../error.ts';
import { decode } from '../gvariant/decode.ts';
import type { Checksum } from '../objects/checksum.ts';
import { archiveHeaderLength, type FileHeader, parseArchiveHeader, parseBareUserMeta } from '../objects/file.ts';
import { checkFileMode, isSymlink } from '../objects/mode.ts';
import { MAX_METADATA_SIZE } from '../objects/type.ts';
import { xattrsFromValue } from '../objects/xattrs.ts';
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
  if (repo.archive) {
    const found = loadArchive(path, checksum);
    if (found !== null) return found;
  } else {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat !== undefined) return plain(path, bareHeader(repo, path, stat, checksum), stat);
  }
  if (repo.parent !== null) return repo.parent.loadFile(checksum);
  throw new AtomicError('not-found', `Couldn't find file object '${checksum}'`);
}

function bareHeader(repo: Repo, path: string, stat: Stats, checksum: Checksum): FileHeader {
  if (repo.mode === 'bare-user') {
    const meta = lgetxattr(path, 'user.ostreemeta');
    if (meta === null) throw corrupt(`${checksum}.file has no user.ostreemeta attribute`);
    const header = parseBareUserMeta(meta);
    // libostree stores the target with its NUL.
    if (isSymlink(header.mode)) {
      header.target = readFileSync(path, 'utf8').replace(/\0$/, '');
      if (header.target === '' || header.target.includes('\0')) {
        throw corrupt(`Corrupted object ${checksum}.file: its content is no symlink target`);
      }
    }
    return header;
  }
  checkFileMode(stat.mode);
  const target = stat.isSymbolicLink() ? readlinkSync(path) : '';
  if (repo.mode === 'bare-user-only') return { uid: 0, gid: 0, mode: stat.mode, target, xattrs: [] };
  let xattrs: Xattr[] | undefined;
  return {
    uid: stat.uid,
    gid: stat.gid,
    mode: stat.mode,
    target,
    // Read when asked for: a listing has no use for them, and they cost more than all the rest.
    get xattrs() {
      xattrs ??= bareXattrs(repo, path, checksum);
      return xattrs;
    },
    set xattrs(value) {
      xattrs = value;
    },
  };
}

function bareXattrs(repo: Repo, path: string, checksum: Checksum): Xattr[] {
  if (repo.mode === 'bare-split-xattrs') return splitXattrs(repo, checksum);
  return repo.config.getBoolean('core', 'disable-xattrs') === true ? [] : readXattrs(path);
}

/** The attributes of a content object that are an object of their own, found by a link named after the content. */
function splitXattrs(repo: Repo, checksum: Checksum): Xattr[] {
  const path = repo.objectPath('file-xattrs-link', checksum);
  const size = lstatSync(path, { throwIfNoEntry: false })?.size;
  if (size === undefined) throw corrupt(`${checksum}.file has no file-xattrs-link object`);
  if (size > MAX_METADATA_SIZE) throw corrupt(`${checksum}.file-xattrs-link is ${size} bytes, too large for metadata`);
  return xattrsFromValue(decode('a(ayay)', readFileSync(path)));
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

/** Most objects are smaller than this: the read that brings the header brings all of them. */
const FIRST_READ = 16_384;

/** What a header may claim before memory is taken for it: more comes piece by piece. */
const MAX_CHUNK = 1 << 22;

// One buffer for all objects: 100,000 of them leave nothing for the garbage collector. What one reading left in it holds
// until the next.
let scratch: Buffer | undefined;
let reading = 0;

/** Opens a file to read; null when it is not there. */
function openIfThere(path: string): number | null {
  try {
    return openSync(path, 'r');
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return null;
    throw error;
  }
}

function loadArchive(path: string, checksum: Checksum): StoredFile | null {
  const where = `Corrupted object ${checksum}.filez`;
  const translate = (error: unknown) =>
    corrupt(`${where}: ${error instanceof Error ? error.message : String(error)}`, error);
  const fd = openIfThere(path);
  if (fd === null) return null;
  scratch ??= Buffer.allocUnsafeSlow(FIRST_READ);
  let start = scratch;
  let complete = false;
  const mine = ++reading;
  let parsed: ReturnType<typeof parseArchiveHeader>;
  try {
    start = start.subarray(0, readSync(fd, start, 0, FIRST_READ, 0));
    complete = start.length < FIRST_READ;
    const needed = archiveHeaderLength(start);
    if (needed > start.length) {
      const whole = Buffer.alloc(needed);
      start = whole.subarray(0, readSync(fd, whole, 0, needed, 0));
    }
    parsed = parseArchiveHeader(start);
  } catch (error) {
    throw translate(error);
  } finally {
    closeSync(fd);
  }
  const { header, size, length } = parsed;
  const wrongSize = (seen: number) => corrupt(`${where}: ${seen} bytes instead of ${size}`);
  /** The content, cut off where it becomes longer than the header says. */
  async function* checked(inflate: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    let seen = 0;
    try {
      for await (const chunk of inflate) {
        seen += chunk.length;
        if (seen > size) throw wrongSize(seen);
        yield chunk;
      }
    } catch (error) {
      throw errnoCode(error)?.startsWith('Z_') ? translate(error) : error;
    }
    if (seen !== size) throw wrongSize(seen);
  }
  return {
    header,
    size,
    path: null,
    open: () => {
      const inflate = createInflateRaw();
      const source = createReadStream(path, { start: length, highWaterMark: 1 << 18 });
      source.on('error', (error) => inflate.destroy(error));
      return Readable.from(checked(source.pipe(inflate)), { objectMode: false });
    },
    readContent: () => {
      if (isSymlink(header.mode) || size === 0) return Buffer.alloc(0);
      let content: Buffer;
      try {
        content = inflateRawSync((complete && mine === reading ? start : readFileSync(path)).subarray(length), {
          maxOutputLength: size + 1,
          // Room for all of it at once: no 16 KiB for each small file, no joining of pieces for a large one.
          chunkSize: Math.min(Math.max(size + 1, 64), MAX_CHUNK),
        });
      } catch (error) {
        throw translate(error);
      }
      if (content.length !== size) throw wrongSize(content.length);
      return content;
    },
  };
}
