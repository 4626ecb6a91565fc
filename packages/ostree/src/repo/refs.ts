import { mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { errnoCode, fsyncPath } from '@atomic/linux';
import { AtomicError, corrupt } from '../error.ts';
import { type Checksum, isChecksum, validateChecksum } from '../objects/checksum.ts';
import { compareNames } from '../objects/dirtree.ts';
import { parseRefspec } from './ref-name.ts';
import type { Repo } from './repo.ts';
import { replaceFile } from './write-file.ts';

function refPath(repo: Repo, refspec: string): string {
  const { remote, ref } = parseRefspec(refspec);
  return join(repo.path, 'refs', remote === null ? 'heads' : join('remotes', remote), ref);
}

/** Reads one ref (an alias is a symlink to another); null when there is none. */
export function readRef(repo: Repo, refspec: string): Checksum | null {
  try {
    return parseRefFile(readFileSync(refPath(repo, refspec), 'utf8'), refspec);
  } catch (error) {
    const code = errnoCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR') return null;
    throw error;
  }
}

function parseRefFile(text: string, refspec: string): Checksum {
  const checksum = text.trim();
  if (!isChecksum(checksum))
    throw corrupt(`the ref ${refspec} holds ${JSON.stringify(checksum.slice(0, 70))} instead of a checksum`);
  return checksum;
}

/** Writes or (null) deletes one ref. A crash leaves the old or the new value, see {@link replaceFile}. */
export function writeRef(repo: Repo, refspec: string, checksum: Checksum | null): void {
  const path = refPath(repo, refspec);
  if (checksum !== null) {
    const text = `${validateChecksum(checksum)}\n`;
    try {
      mkdirSync(dirname(path), { recursive: true });
      replaceFile(path, text, { sync: repo.fsync });
    } catch (error) {
      const code = errnoCode(error);
      if (code !== 'EISDIR' && code !== 'ENOTDIR' && code !== 'EEXIST') throw error;
      throw new AtomicError('exists', `cannot write the ref ${refspec}: another ref is named like a part of it`, {
        hint: 'a ref cannot be the folder of another; list them with: ostree refs',
        cause: error,
      });
    }
    return;
  }
  rmSync(path, { force: true });
  // Folders that hold no ref any more would block a ref of their own name.
  const { remote } = parseRefspec(refspec);
  const keep = join(repo.path, 'refs', remote === null ? 'heads' : join('remotes', remote));
  let folder = dirname(path);
  try {
    while (folder !== keep) {
      rmdirSync(folder);
      folder = dirname(folder);
    }
  } catch (error) {
    if (errnoCode(error) !== 'ENOTEMPTY' && errnoCode(error) !== 'ENOENT') throw error;
  }
  if (repo.fsync) fsyncPath(folder);
}

/** See {@link Repo.listRefs}. */
export function listRefs(
  repo: Repo,
  options: { prefix?: string | undefined; remotes?: boolean | undefined },
): Map<string, Checksum> {
  const found: [string, Checksum][] = [];
  const walk = (folder: string, prefix: string, label: string) => {
    let names: string[];
    try {
      names = readdirSync(folder);
    } catch (error) {
      if (errnoCode(error) === 'ENOENT') return;
      throw error;
    }
    for (const name of names) {
      if (name.startsWith('.')) continue; // being written by replaceFile
      const path = join(folder, name);
      const ref = prefix === '' ? name : `${prefix}/${name}`;
      const stat = statSync(path, { throwIfNoEntry: false });
      if (stat?.isDirectory()) walk(path, ref, label);
      else if (stat?.isFile()) found.push([label + ref, parseRefFile(readFileSync(path, 'utf8'), label + ref)]);
    }
  };
  walk(join(repo.path, 'refs/heads'), '', '');
  if (options.remotes !== false) {
    const remotes = join(repo.path, 'refs/remotes');
    for (const remote of readdirSync(remotes)) walk(join(remotes, remote), '', `${remote}:`);
  }
  const { prefix } = options;
  const wanted = prefix === undefined ? found : found.filter(([ref]) => ref === prefix || ref.startsWith(`${prefix}/`));
  return new Map(wanted.sort(([a], [b]) => compareNames(a, b)));
}

/** See {@link Repo.resolveRev}. */
export function resolveRev(repo: Repo, rev: string): Checksum {
  if (rev.endsWith('^')) {
    const child = resolveRev(repo, rev.slice(0, -1));
    const { parent } = repo.loadCommit(child);
    if (parent === null) throw new AtomicError('not-found', `Commit ${child} has no parent`);
    return parent;
  }
  if (isChecksum(rev)) return rev;
  const direct = /^[0-9a-f]+$/.test(rev) ? null : parseRefspec(rev);
  const checksum = readRef(repo, rev);
  if (checksum !== null) return checksum;
  // As libostree: NAME/REST may be the ref REST of the remote NAME.
  const slash = rev.indexOf('/');
  if (direct?.remote === null && slash > 0) {
    const remote = readRef(repo, `${rev.slice(0, slash)}:${rev.slice(slash + 1)}`);
    if (remote !== null) return remote;
  }
  // libostree looks for a plain name among the remotes' refs as well, when just one has it.
  if (direct?.remote === null || direct === null) {
    const holders = repo
      .remotes()
      .map((remote) => readRef(repo, `${remote}:${rev}`))
      .filter((found) => found !== null);
    if (holders.length === 1 && holders[0] !== undefined) return holders[0];
  }
  if (direct === null) {
    const matches = commitsBeginning(repo, rev);
    if (matches.length > 1) throw new AtomicError('invalid', `Refspec ${rev} not unique`);
    if (matches[0] !== undefined) return matches[0];
  }
  throw new AtomicError('not-found', `Refspec '${rev}' not found`);
}

function commitsBeginning(repo: Repo, short: string): Checksum[] {
  const folders = short.length >= 2 ? [short.slice(0, 2)] : [];
  return folders.flatMap((folder) => {
    try {
      return readdirSync(join(repo.path, 'objects', folder))
        .filter((name) => name.endsWith('.commit') && (folder + name).startsWith(short))
        .map((name) => folder + name.slice(0, 62));
    } catch (error) {
      if (errnoCode(error) === 'ENOENT') return [];
      throw error;
    }
  });
}
