import { chmodSync, lstatSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { AtomicError } from '../error.ts';
import type { Repo } from '../repo/repo.ts';
import { openFileAt } from '../repo/tree.ts';
import { runProgram } from '../run-program.ts';
import type { Change } from './change.ts';
import { changesetBetween } from './changeset-between.ts';
import { writeFolder } from './write-folder.ts';

export type SysextFormat = 'directory' | 'erofs' | 'squashfs';

export interface ExportSysextOptions {
  /** Where to write: a directory that is not there yet, or an image file. */
  output: string;
  format: SysextFormat;
  /** The extension's name; default: that of `output` without `.raw`. The image file has to be called so to be merged. */
  name?: string | undefined;
  /** What goes where no extension can put it (all but /usr and /opt, os-release) is left out; without, it is refused. */
  leaveOut?: boolean | undefined;
  /** Removals become overlayfs whiteouts; without, they are refused: extensions are meant to add. */
  whiteouts?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

export interface WrittenSysext {
  name: string;
  /** What its extension-release file says: the version of the system it belongs to. */
  release: Record<string, string>;
  /** Files and symlinks in it. */
  files: number;
  removed: number;
  /** Paths of changes that are not in it. */
  leftOut: string[];
}

/** Where systemd looks for what an extension belongs to (systemd-sysext(8)). */
const RELEASE_FOLDER = ['usr', 'usr/lib', 'usr/lib/extension-release.d'];
const OS_RELEASE = ['usr/lib/os-release', 'usr/etc/os-release', 'etc/os-release'];
const RELEASE_KEYS = ['ID', 'VERSION_ID', 'SYSEXT_LEVEL'];

/**
 * Writes what makes `to` from `from` as a systemd system extension: laid over a machine that runs `from`, /usr and /opt
 * are those of `to`. The same commits give the same bytes. Images are made by mkfs.erofs or mksquashfs. Throws `invalid`
 * for changes an extension cannot hold, `exists`, and `permission` without root (a file's owner is part of it).
 */
export async function exportSysext(
  repo: Repo,
  from: string,
  to: string,
  options: ExportSysextOptions,
): Promise<WrittenSysext> {
  const output = resolve(options.output);
  const { format, signal } = options;
  const name = options.name ?? basename(output).replace(/\.raw$/, '');
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(name))
    throw new AtomicError('invalid', `'${name}' is no name for an extension: letters, digits, '_', '.' and '-'`);
  if (lstatSync(output, { throwIfNoEntry: false }) !== undefined)
    throw new AtomicError('exists', `${output} exists already`);
  if (process.getuid?.() !== 0) throw new AtomicError('permission', 'only root can write files of other owners');
  const commit = repo.resolveRev(to);
  const { timestamp } = repo.loadCommit(commit);
  const release = releaseOf(repo, from);
  const sorted = await sortOut(changesetBetween(repo, from, to, { parents: true, signal }), options);
  const work = mkdtempSync(join(dirname(output), '.sysext-'));
  try {
    const folder = join(work, 'tree');
    mkdirSync(folder);
    chmodSync(folder, 0o755);
    const changes = withRelease(sorted.changes, name, release);
    await writeFolder(repo, changes, folder, timestamp);
    if (format === 'directory') renameSync(folder, output);
    else {
      const image = join(work, 'image');
      const [program, ...args] = imageCommand(format, folder, image, commit, timestamp);
      await runProgram(program, args, { signal });
      renameSync(image, output);
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  const { files, removed, leftOut } = sorted;
  return { name, release, files, removed, leftOut };
}

function imageCommand(
  format: 'erofs' | 'squashfs',
  folder: string,
  image: string,
  commit: string,
  timestamp: number,
): [string, ...string[]] {
  // Nothing in the image may be by chance.
  const uuid = commit.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, '$1-$2-4$3-8$4-$5');
  if (format === 'erofs') return ['mkfs.erofs', '-zlz4hc', `-T${timestamp}`, `-U${uuid}`, image, folder];
  const times = ['-all-time', `${timestamp}`, '-mkfs-time', `${timestamp}`];
  return ['mksquashfs', folder, image, '-noappend', '-quiet', '-no-progress', '-comp', 'zstd', ...times];
}

interface Sorted {
  changes: Change[];
  files: number;
  removed: number;
  leftOut: string[];
}

/** The changes that an extension can hold. They are held in memory: one that cannot be has to be known before any is written. */
async function sortOut(all: AsyncIterable<Change>, options: ExportSysextOptions): Promise<Sorted> {
  const sorted: Sorted = { changes: [], files: 0, removed: 0, leftOut: [] };
  const removed: string[] = [];
  for await (const change of all) {
    const { path, kind } = change;
    const inside = /^(usr|opt)(\/|$)/.test(path) && !OS_RELEASE.includes(path);
    if (!inside) {
      // Of a directory alone nobody knows whether it changed or only something in it.
      if (path !== '' && kind !== 'dir') sorted.leftOut.push(`/${path}`);
      continue;
    }
    if (kind === 'remove') removed.push(`/${path}`);
    else if (kind !== 'dir') sorted.files++;
    sorted.changes.push(change);
  }
  const list = (paths: string[]) =>
    `${paths.slice(0, 5).join(', ')}${paths.length > 5 ? ` and ${paths.length - 5} more` : ''}`;
  if (sorted.leftOut.length > 0 && options.leaveOut !== true) {
    throw new AtomicError(
      'invalid',
      `an extension has nothing but /usr and /opt; there is also: ${list(sorted.leftOut)}`,
      {
        hint: 'leave that out (--leave-out), if what is in /usr works without it',
      },
    );
  }
  if (removed.length > 0 && options.whiteouts !== true) {
    throw new AtomicError('invalid', `an extension is to add, but these are gone: ${list(removed)}`, {
      hint: 'hide them with whiteouts (--whiteouts)',
    });
  }
  sorted.removed = removed.length;
  return sorted;
}

/** Adds the file that says what the extension belongs to, and the directories it needs. */
async function* withRelease(
  changes: readonly Change[],
  name: string,
  release: Record<string, string>,
): AsyncGenerator<Change> {
  const own = { uid: 0, gid: 0, xattrs: [] };
  const there = new Set(changes.flatMap(({ kind, path }) => (kind === 'dir' ? [path] : [])));
  yield* changes;
  for (const path of RELEASE_FOLDER) if (!there.has(path)) yield { kind: 'dir', path, mode: 0o755, ...own };
  const text = Buffer.from(
    Object.entries(release)
      .map(([key, value]) => `${key}=${value}\n`)
      .join(''),
  );
  const bytes = (async function* () {
    yield text;
  })();
  const path = `${RELEASE_FOLDER.at(-1)}/extension-release.${name}`;
  yield { kind: 'file', path, mode: 0o644, ...own, size: text.length, content: { from: 'stream', bytes } };
}

/** The lines of the base's os-release(5) by which systemd knows it, values as they stand there. */
function releaseOf(repo: Repo, rev: string): Record<string, string> {
  for (const path of OS_RELEASE) {
    let text: string;
    try {
      text = openFileAt(repo, rev, path).readContent().toString('utf8');
    } catch (error) {
      if (error instanceof AtomicError && error.code === 'not-found') continue;
      throw error;
    }
    const found = RELEASE_KEYS.flatMap((key) => {
      const value = new RegExp(`^${key}=(.*)$`, 'm').exec(text)?.[1];
      return value === undefined ? [] : [[key, value] as const];
    });
    if (found.some(([key]) => key === 'ID')) return Object.fromEntries(found);
  }
  throw new AtomicError(
    'invalid',
    `the base ${rev} has no os-release with an ID: an extension has to say what it belongs to`,
  );
}
