import { lstatSync, readdirSync, readlinkSync, type Stats } from 'node:fs';
import { readXattrs } from '@atomic/linux';
import { AtomicError, corrupt } from '../error.ts';
import { breather } from '../progress.ts';
import { type Change, pathNames } from './change.ts';
import { type OverlayMarks, readMarks } from './overlay-marks.ts';

export interface UpperOptions {
  /** The overlay was mounted with `userxattr`: its notes are `user.overlay.*` instead of `trusted.overlay.*`. */
  userxattr?: boolean | undefined;
  /** Told of each device, fifo and socket, which is then left out; without it they are refused. */
  onSpecial?: ((path: string) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** The kernel takes no longer path, in bytes; a name more has to fit. */
const LONGEST_PATH = 4095;

/** A directory being read. */
interface Level {
  /** On disk, and relative to the root. */
  disk: string;
  path: string;
  /** The directory of the tree below that it is merged with, or null for none. */
  below: string | null;
  names: string[];
}

/**
 * The changes in the upper directory of an overlay that is not mounted any more: the root first, a directory before
 * what is in it. It has to have been mounted with `index=off`, on a single tree. Throws
 * `invalid` for names that are not UTF-8 and special files, `unsupported` for an upper directory that is not all there.
 */
export async function* readUpper(dir: string, options: UpperOptions = {}): AsyncGenerator<Change> {
  const reader = new UpperReader(options.userxattr === true, options.onSpecial);
  const pause = breather(options.signal);
  const rootStat = lstatSync(dir, { throwIfNoEntry: false });
  if (rootStat === undefined) throw new AtomicError('not-found', `${dir}: No such file or directory`);
  if (!rootStat.isDirectory()) throw new AtomicError('invalid', `${dir}: Not a directory`);
  const levels: Level[] = [];
  const enter = (level: Omit<Level, 'names'>): void => {
    levels.push({ ...level, names: listNames(level.disk, level.path).reverse() });
  };
  const root = reader.directory(dir, '', rootStat, '');
  yield* root.changes;
  enter({ disk: dir, path: '', below: root.below });
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const turn = pause();
    if (turn !== undefined) await turn;
    const name = level.names.pop();
    if (name === undefined) {
      levels.pop();
      continue;
    }
    const path = level.path === '' ? name : `${level.path}/${name}`;
    const disk = `${level.disk}/${name}`;
    if (Buffer.byteLength(disk) > LONGEST_PATH)
      throw new AtomicError('invalid', `${path.slice(0, 100)}…: nested too deep`);
    const stat = lstatSync(disk);
    const below = level.below === null ? null : join(level.below, name);
    if (!stat.isDirectory()) {
      const change = reader.entry(disk, path, stat, below);
      if (change !== null) yield change;
      continue;
    }
    const found = reader.directory(disk, path, stat, below);
    yield* found.changes;
    enter({ disk, path, below: found.below });
  }
}

const join = (folder: string, name: string): string => (folder === '' ? name : `${folder}/${name}`);
const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')));

class UpperReader {
  readonly #userxattr: boolean;
  readonly #onSpecial: ((path: string) => void) | undefined;

  constructor(userxattr: boolean, onSpecial: ((path: string) => void) | undefined) {
    this.#userxattr = userxattr;
    this.#onSpecial = onSpecial;
  }

  /** A directory, and the one of the tree below that it is merged with. */
  directory(
    disk: string,
    path: string,
    stat: Stats,
    below: string | null,
  ): { changes: Change[]; below: string | null } {
    const { marks, own } = readMarks(readXattrs(disk), this.#userxattr);
    const origin = marks.opaque ? null : redirected(marks, path, below);
    const renamed = origin !== null && origin !== below ? origin : undefined;
    const changes: Change[] = [{ kind: 'dir', path, ...attributes(stat), xattrs: own, origin: renamed }];
    if (marks.opaque) changes.push({ kind: 'clear', path });
    return { changes, below: origin };
  }

  /** Anything but a directory; null for what is left out. */
  entry(disk: string, path: string, stat: Stats, below: string | null): Change | null {
    if (stat.isCharacterDevice() && stat.rdev === 0) return { kind: 'remove', path };
    if (!stat.isFile() && !stat.isSymbolicLink()) {
      if (this.#onSpecial === undefined) {
        throw new AtomicError('invalid', `Not a regular file or symlink: ${disk}`, {
          hint: 'device nodes, fifos and sockets are made at boot (tmpfiles.d), a tree cannot hold them',
        });
      }
      this.#onSpecial(path);
      return null;
    }
    const { marks, own, any } = readMarks(readXattrs(disk), this.#userxattr);
    const common = { path, ...attributes(stat), xattrs: own };
    if (stat.isSymbolicLink()) return { kind: 'symlink', ...common, target: readlinkSync(disk) };
    if (marks.whiteout && stat.size === 0) return { kind: 'remove', path };
    if (marks.indexed) {
      throw new AtomicError('unsupported', `${path}: a hard link that was changed under others of its names`, {
        hint: 'mount the overlay with index=off',
      });
    }
    if (marks.metacopy) {
      const origin = redirected(marks, path, below);
      if (origin === null) throw corrupt(`${path}: its content was not copied up, and nothing is below it`);
      return { kind: 'meta', ...common, origin };
    }
    const content = { from: 'disk' as const, path: disk, stat, clean: !any };
    return { kind: 'file', ...common, size: stat.size, content };
  }
}

const attributes = ({ uid, gid, mode }: Stats) => ({ uid, gid, mode: mode & 0o7777 });

/** Where an entry was in the tree below; a name is one in the directory below its own. */
function redirected({ redirect }: OverlayMarks, path: string, below: string | null): string | null {
  if (redirect === null) return below;
  if (redirect.startsWith('/')) return pathNames(redirect).join('/');
  if (redirect === '' || redirect.includes('/')) throw corrupt(`${path}: redirected to '${redirect}'`);
  if (below === null) return null;
  return pathNames(join(parentOf(below), redirect)).join('/');
}

/** The names in a directory, sorted; throws `invalid` for one that is not UTF-8. */
function listNames(disk: string, path: string): string[] {
  const names = readdirSync(disk).sort();
  const odd = names.find((name) => name.includes('\ufffd'));
  if (odd === undefined) return names;
  const real = new Set(readdirSync(disk, { encoding: 'buffer' }).map((raw) => raw.toString('latin1')));
  for (const name of names) {
    if (!name.includes('\ufffd') || real.has(Buffer.from(name).toString('latin1'))) continue;
    throw new AtomicError('invalid', `Invalid UTF-8 in filename ${path === '' ? '' : `${path}/`}${name}`);
  }
  return names;
}
