import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { errnoCode, fsyncPath } from '@atomic/linux';
import { AtomicError, corrupt } from '../error.ts';
import { type Checksum, isChecksum, validateChecksum } from '../objects/checksum.ts';
import { compareNames } from '../objects/dirtree.ts';
import { isRefFragment, parseRefspec, validateCollectionId, validateRefName } from './ref-name.ts';
import type { Repo } from './repo.ts';
import { replaceFile } from './write-file.ts';

/** A ref named by the collection it belongs to, wherever in the repository it is kept. */
export interface CollectionRef {
  collectionId: string;
  ref: string;
}

/** What names a ref: `REF`, `REMOTE:REF`, or a ref of a collection. */
export type RefTarget = string | CollectionRef;

const refText = (target: RefTarget): string =>
  typeof target === 'string' ? target : `(${target.collectionId}, ${target.ref})`;

/** Folder below `refs/` and name within it. Refs of the repository's own collection are its plain refs. */
function locate(repo: Repo, target: RefTarget): { folder: string; ref: string } {
  if (typeof target !== 'string') {
    validateCollectionId(target.collectionId);
    const own = target.collectionId === repo.config.get('core', 'collection-id');
    return { folder: own ? 'heads' : `mirrors/${target.collectionId}`, ref: validateRefName(target.ref) };
  }
  const { remote, ref } = parseRefspec(target);
  return { folder: remote === null ? 'heads' : `remotes/${remote}`, ref };
}

/** Throws `invalid` unless the target can be a ref; returns a text that no other target has. */
export function checkRefTarget(target: RefTarget): string {
  if (typeof target === 'string') parseRefspec(target);
  else {
    validateCollectionId(target.collectionId);
    validateRefName(target.ref);
  }
  return refText(target);
}

/** Reads one ref (an alias is a symlink to another); null when there is none. */
export function readRef(repo: Repo, target: RefTarget): Checksum | null {
  const { folder, ref } = locate(repo, target);
  return readRefFile(join(repo.path, 'refs', folder, ref), refText(target));
}

/** More than any ref's file holds. */
const refBytes = Buffer.alloc(256);

/**
 * The commit in a ref's file; null when there is no such file. Throws `corrupt`. What an alias leads to is not trusted:
 * it is read neither without end (a device) nor with waiting (a pipe), and not shown.
 */
export function readRefFile(path: string, name: string): Checksum | null {
  let text: string;
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    try {
      text = refBytes.toString('latin1', 0, readSync(fd, refBytes, 0, refBytes.length, null));
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    const code = errnoCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR') return null;
    throw error;
  }
  const checksum = text.trim();
  if (!isChecksum(checksum)) throw corrupt(`the ref ${name} does not hold a checksum`);
  return checksum;
}

/**
 * Writes or (null) deletes one ref. A crash leaves the old or the new value, see {@link replaceFile}. Throws `exists`
 * when the name is the folder of other refs or lies below one.
 */
export function writeRef(repo: Repo, target: RefTarget, checksum: Checksum | null): void {
  const { folder, ref } = locate(repo, target);
  const base = join(repo.path, 'refs', folder);
  if (checksum === null) deleteRef(repo, base, ref);
  else {
    if (isChecksum(ref)) throw new AtomicError('invalid', `Rev name '${ref}' looks like a checksum`);
    const text = `${validateChecksum(checksum)}\n`;
    put(base, ref, (path) => replaceFile(path, text, { sync: repo.fsync }));
  }
  touchRepo(repo);
}

/** Makes the local ref `alias` follow the local ref `target`. Throws `exists` as {@link writeRef} does. */
export function writeAlias(repo: Repo, alias: string, target: string): void {
  validateRefName(target);
  const ref = validateRefName(alias);
  const up = '../'.repeat(ref.split('/').length - 1);
  put(join(repo.path, 'refs/heads'), ref, (path) => {
    const aside = join(repo.path, 'tmp', `alias-${process.pid}-${Date.now()}`);
    symlinkSync(up + target, aside);
    try {
      renameSync(aside, path);
    } catch (error) {
      rmSync(aside, { force: true });
      throw error;
    }
    if (repo.fsync) fsyncPath(dirname(path));
  });
  touchRepo(repo);
}

/** Runs `write` on a ref's path, its folders made and an empty folder of its name taken away. */
function put(base: string, ref: string, write: (path: string) => void): void {
  const path = join(base, ref);
  try {
    mkdirSync(dirname(path), { recursive: true });
    try {
      write(path);
    } catch (error) {
      if (errnoCode(error) !== 'EISDIR') throw error;
      const [below] = refsBelow(path);
      if (below !== undefined)
        throw new AtomicError('exists', `Conflict: ${below} exists under ${ref} when attempting write`);
      rmSync(path, { recursive: true });
      write(path);
    }
  } catch (error) {
    const code = errnoCode(error);
    if (code !== 'ENOTDIR' && code !== 'EEXIST') throw error;
    throw new AtomicError('exists', `cannot write the ref ${ref}: another ref is named like a part of it`, {
      hint: 'a ref cannot be the folder of another; list them with: ostree refs',
      cause: error,
    });
  }
}

function deleteRef(repo: Repo, base: string, ref: string): void {
  const path = join(base, ref);
  rmSync(path, { force: true });
  // Folders that hold no ref any more would block a ref of their own name.
  let folder = dirname(path);
  try {
    while (folder !== base) {
      rmdirSync(folder);
      folder = dirname(folder);
    }
  } catch (error) {
    if (errnoCode(error) !== 'ENOTEMPTY' && errnoCode(error) !== 'ENOENT') throw error;
  }
  if (!repo.fsync) return;
  try {
    fsyncPath(folder);
  } catch (error) {
    if (errnoCode(error) !== 'ENOENT') throw error;
  }
}

/** Others watch the repository's own time to learn that refs have moved. */
function touchRepo(repo: Repo): void {
  const now = new Date();
  try {
    utimesSync(repo.path, now, now);
  } catch (error) {
    if (errnoCode(error) !== 'EPERM' && errnoCode(error) !== 'EACCES') throw error;
  }
}

/** Names of the ref files below a folder, sorted as bytes; what is no ref's name (rsync's leftovers, say) is passed over. */
function refsBelow(folder: string): string[] {
  return [...refFiles(folder)].map(({ ref }) => ref).sort(compareNames);
}

function* refFiles(folder: string, prefix = ''): Generator<{ ref: string; alias: boolean }> {
  let entries: ReturnType<typeof readEntries>;
  try {
    entries = readEntries(folder);
  } catch (error) {
    if (errnoCode(error) === 'ENOENT' || errnoCode(error) === 'ENOTDIR') return;
    throw error;
  }
  for (const entry of entries) {
    if (!isRefFragment(entry.name)) continue;
    if (entry.isDirectory()) yield* refFiles(`${folder}/${entry.name}`, `${prefix}${entry.name}/`);
    else if (entry.isFile() || entry.isSymbolicLink()) {
      yield { ref: prefix + entry.name, alias: entry.isSymbolicLink() };
    }
  }
}

const readEntries = (folder: string) => readdirSync(folder, { withFileTypes: true });

export interface ListRefsOptions {
  /** Only this ref, or those below it; `REMOTE:` for all of a remote. */
  prefix?: string | undefined;
  /** Leave the prefix out of the names below it (never the remote). */
  cut?: boolean | undefined;
  /** False for local refs only. */
  remotes?: boolean | undefined;
}

/** Errors say what was tried, as stock's do. */
function listing<T>(act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (error instanceof AtomicError) throw new AtomicError(error.code, `Listing refs: ${error.message}`);
    throw error;
  }
}

/** See {@link Repo.listRefs}. */
export function listRefs(repo: Repo, options: ListRefsOptions): Map<string, Checksum> {
  const found: [string, Checksum][] = [];
  const add = (folder: string, label: string, shown: string) => {
    for (const { ref } of refFiles(folder)) {
      const checksum = readRefFile(`${folder}/${ref}`, label + shown + ref);
      if (checksum !== null) found.push([label + shown + ref, checksum]);
    }
  };
  const { prefix } = options;
  if (prefix === undefined) {
    add(`${repo.path}/refs/heads`, '', '');
    if (options.remotes !== false) {
      // A repository has this folder; without it nobody can say that there are no refs.
      if (!existsSync(`${repo.path}/refs/remotes`))
        throw new AtomicError('not-found', 'Listing refs: opendir(remotes): No such file or directory');
      for (const remote of folders(`${repo.path}/refs/remotes`)) {
        add(`${repo.path}/refs/remotes/${remote}`, `${remote}:`, '');
      }
    }
  } else {
    const whole = /^([^:]+):\.?$/.exec(prefix)?.[1];
    const { remote, ref } = whole === undefined ? listing(() => parseRefspec(prefix)) : { remote: whole, ref: '' };
    const label = remote === null ? '' : `${remote}:`;
    const base = `${repo.path}/refs/${remote === null ? 'heads' : `remotes/${remote}`}`;
    const checksum = ref === '' ? null : readRefFile(`${base}/${ref}`, prefix);
    if (checksum !== null) found.push([prefix, checksum]);
    else add(ref === '' ? base : `${base}/${ref}`, label, ref === '' || options.cut ? '' : `${ref}/`);
  }
  return new Map(found.sort(([a], [b]) => compareNames(a, b)));
}

/** The local aliases, sorted, and what they follow; `prefix` as in {@link ListRefsOptions}. */
export function listAliases(repo: Repo, prefix?: string): Map<string, string> {
  const heads = `${repo.path}/refs/heads`;
  const found: [string, string][] = [];
  for (const { ref, alias } of refFiles(heads)) {
    if (!alias || (prefix !== undefined && ref !== prefix && !ref.startsWith(`${prefix}/`))) continue;
    found.push([ref, readlinkSync(`${heads}/${ref}`).replace(/^(\.\.\/)+/, '')]);
  }
  return new Map(found.sort(([a], [b]) => compareNames(a, b)));
}

function folders(path: string): string[] {
  try {
    return readEntries(path)
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name)
      .sort(compareNames);
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return [];
    throw error;
  }
}

export interface ListCollectionRefsOptions {
  /** Only refs of this collection. Throws `invalid` when it is no collection ID. */
  collectionId?: string | undefined;
  /** False to leave out remotes' refs (those of remotes that have a collection ID are listed else). */
  remotes?: boolean | undefined;
  /** False to leave out mirrored refs. */
  mirrors?: boolean | undefined;
}

/** Refs that belong to a collection and their commits: own ones, mirrors and remotes', sorted by collection and name. */
export function listCollectionRefs(
  repo: Repo,
  options: ListCollectionRefsOptions = {},
): (CollectionRef & { checksum: Checksum })[] {
  const { collectionId: id } = options;
  const wanted = id === undefined ? undefined : listing(() => validateCollectionId(id));
  const found = new Map<string, CollectionRef & { checksum: Checksum }>();
  const add = (collectionId: string | undefined, folder: string) => {
    if (collectionId === undefined || (wanted !== undefined && collectionId !== wanted)) return;
    for (const { ref } of refFiles(folder)) {
      const checksum = readRefFile(`${folder}/${ref}`, refText({ collectionId, ref }));
      if (checksum !== null) found.set(`${collectionId}\n${ref}`, { collectionId, ref, checksum });
    }
  };
  const refs = `${repo.path}/refs`;
  add(repo.config.get('core', 'collection-id'), `${refs}/heads`);
  if (options.mirrors !== false) for (const name of folders(`${refs}/mirrors`)) add(name, `${refs}/mirrors/${name}`);
  if (options.remotes !== false) {
    for (const remote of folders(`${refs}/remotes`)) {
      add(remoteCollectionId(repo, remote), `${refs}/remotes/${remote}`);
    }
  }
  return [...found.values()].sort((a, b) => compareNames(a.collectionId, b.collectionId) || compareNames(a.ref, b.ref));
}

/** A remote's collection ID; undefined when it has none that is valid. */
function remoteCollectionId(repo: Repo, remote: string): string | undefined {
  try {
    const id = repo.remoteOption(remote, 'collection-id');
    return id === undefined ? undefined : validateCollectionId(id);
  } catch {
    return undefined;
  }
}
