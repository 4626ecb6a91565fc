import { mkdirSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { errnoCode, lgetxattr, lsetxattr } from '@atomic/linux';
import { replaceFile } from '../repo/write-file.ts';

export interface CachedFile {
  bytes: Buffer;
  /** What the server called this version (the file's `user.etag` attribute). */
  etag: string | undefined;
  /** When the server says it was changed: the file's own time, Unix seconds. */
  modifiedSince: number;
}

export interface FileVersion {
  etag: string | undefined;
  lastModified: number | undefined;
}

/** Notes a file's version on itself, where the next request looks for it. File systems without attributes do without. */
export function noteVersion(path: string, version: FileVersion): void {
  try {
    if (version.etag !== undefined) lsetxattr(path, 'user.etag', Buffer.from(version.etag));
  } catch {
    // Only the next download is the larger for it.
  }
  if (version.lastModified !== undefined && version.lastModified > 0) {
    utimesSync(path, version.lastModified, version.lastModified);
  }
}

/** Summaries of remotes and their signatures, `summaries/REMOTE` and `summaries/REMOTE.sig` in a cache folder. */
export class SummaryCache {
  readonly #dir: string;
  readonly #sync: boolean;

  constructor(cacheDir: string, options: { sync: boolean }) {
    this.#dir = join(cacheDir, 'summaries');
    this.#sync = options.sync;
  }

  read(name: string): CachedFile | null {
    const path = join(this.#dir, name);
    try {
      const bytes = readFileSync(path);
      const modifiedSince = Math.floor(statSync(path).mtimeMs / 1000);
      const etag = readEtag(path);
      return { bytes, etag, modifiedSince };
    } catch (error) {
      if (errnoCode(error) === 'ENOENT' || errnoCode(error) === 'EACCES') return null;
      throw error;
    }
  }

  /** Keeps both; whoever may not write here goes without. */
  write(name: string, bytes: Buffer, version: FileVersion): void {
    try {
      mkdirSync(this.#dir, { recursive: true });
      const path = join(this.#dir, name);
      replaceFile(path, bytes, { sync: this.#sync });
      noteVersion(path, version);
    } catch (error) {
      if (!['EACCES', 'EPERM', 'EROFS', 'ENOSPC'].includes(errnoCode(error) ?? '')) throw error;
    }
  }

  remove(name: string): void {
    rmSync(join(this.#dir, name), { force: true });
  }
}

function readEtag(path: string): string | undefined {
  try {
    const etag = lgetxattr(path, 'user.etag')?.toString('latin1');
    // It becomes a header line.
    return etag === undefined || !/^[\x21-\x7e\x80-\xff]+$/.test(etag) ? undefined : etag;
  } catch {
    return undefined;
  }
}
