import { AtomicError } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import { isSymlink } from '../objects/mode.ts';
import type { Xattr } from '../objects/xattrs.ts';
import { breather, type Progress } from '../progress.ts';
import type { Repo } from '../repo/repo.ts';
import { descendants, lookup, type TreeDirectory, type TreeFile } from '../repo/tree.ts';
import { padding, type TarEntry, tarHeader } from '../tar/header.ts';

export interface ExportOptions {
  /** Export this directory of the tree only. */
  subpath?: string | undefined;
  /** Put before every name as it is; end it in a slash to make it a directory. */
  prefix?: string | undefined;
  /** What a path in the tree, relative to what is exported, becomes; before the prefix is put before it. */
  rename?: ((path: string) => string) | undefined;
  noXattrs?: boolean | undefined;
  /** Equal files as files of their own: what is written through one name, once unpacked, is not in the others. */
  noLinks?: boolean | undefined;
  /** Fill the archive up to a multiple of so many bytes, as writers to a tape or pipe do. */
  recordSize?: number | undefined;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

/** Larger content is passed on in pieces. */
const WHOLE = 1 << 20;
/** Headers and small files are gathered to pieces of at least this size. */
const GATHER = 1 << 18;

/**
 * A commit's tree as a GNU tar archive, in pieces. Every time in it is the commit's. Files with the same checksum are
 * one object, so all but the first are hard links. Throws `invalid` when `subpath` is no directory.
 */
export async function* exportTar(repo: Repo, rev: string, options: ExportOptions = {}): AsyncGenerator<Uint8Array> {
  const checksum = repo.resolveRev(rev);
  const { timestamp } = repo.loadCommit(checksum);
  const root = lookup(repo, checksum, options.subpath ?? '/');
  if (root.kind !== 'directory') throw new AtomicError('invalid', `${root.path}: Not a directory`);
  const above = root.path === '/' ? 1 : root.path.length + 1;
  const { prefix = '', rename = (path: string): string => path } = options;
  const name = (path: string): string => `${prefix}${rename(path.slice(above))}`;
  const pause = breather(options.signal);
  const seen = new Map<Checksum, string>();
  const shape = (xattrs: readonly Xattr[]): Pick<TarEntry, 'mtime' | 'xattrs'> => ({
    mtime: timestamp,
    xattrs: options.noXattrs ? [] : xattrs,
  });
  const folder = (dir: TreeDirectory): TarEntry => {
    const { mode, uid, gid, xattrs } = dir.dirMeta;
    const path = name(dir.path) || '.';
    return {
      name: path.endsWith('/') ? path : `${path}/`,
      kind: 'directory',
      mode,
      uid,
      gid,
      size: 0,
      ...shape(xattrs),
    };
  };
  const plain = (file: TreeFile): TarEntry => {
    const { mode, uid, gid, target, xattrs } = file.header;
    const common = { name: name(file.path), mode, uid, gid, ...shape(xattrs) };
    if (isSymlink(mode)) return { ...common, kind: 'symlink', size: 0, target };
    const first = seen.get(file.checksum);
    if (first !== undefined && !options.noLinks) return { ...common, kind: 'link', size: 0, target: first };
    seen.set(file.checksum, common.name);
    return { ...common, kind: 'file', size: file.size };
  };

  let gathered: Uint8Array[] = [];
  let waiting = 0;
  let total = 0;
  let done = 0;
  const add = (bytes: Uint8Array): void => {
    gathered.push(bytes);
    waiting += bytes.length;
    total += bytes.length;
  };
  const take = (): Uint8Array => {
    const piece = Buffer.concat(gathered);
    gathered = [];
    waiting = 0;
    return piece;
  };
  add(tarHeader(folder(root)));
  for (const entry of descendants(repo, root)) {
    const turn = pause();
    if (turn !== undefined) {
      await turn;
      options.progress?.({ phase: 'Exporting', done, bytes: total });
    }
    done++;
    const header = entry.kind === 'directory' ? folder(entry) : plain(entry);
    add(tarHeader(header));
    if (entry.kind === 'file' && header.kind === 'file') {
      if (header.size <= WHOLE) add(entry.stored.readContent());
      else {
        yield take();
        for await (const piece of entry.stored.open()) {
          const bytes: Uint8Array = piece;
          total += bytes.length;
          yield bytes;
        }
      }
      add(padding(header.size));
    }
    if (waiting >= GATHER) yield take();
  }
  // Two empty blocks end an archive.
  add(Buffer.alloc(1024));
  const record = options.recordSize ?? 1;
  add(Buffer.alloc((record - (total % record)) % record));
  yield take();
}
