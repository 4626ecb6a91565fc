import { readdirSync } from 'node:fs';
import { errnoCode } from '@atomic/linux';
import { AtomicError } from '../error.ts';
import { type Checksum, isChecksum } from '../objects/checksum.ts';
import { parseRefspec } from './ref-name.ts';
import { readRef, readRefFile } from './refs.ts';
import type { Repo } from './repo.ts';

/**
 * See {@link Repo.resolveRev}. The order is libostree's: a full checksum, the beginning of one, `REV^`, a ref. With
 * `local`, a plain name is looked for among the local refs only, never among the remotes'.
 */
export function resolveRev(repo: Repo, rev: string, options: { local?: boolean } = {}): Checksum {
  if (isChecksum(rev)) return rev;
  if (/^[0-9a-f]{0,64}$/.test(rev)) {
    const [match, ...more] = commitsBeginning(repo, rev);
    if (more.length > 0) throw new AtomicError('invalid', `Refspec ${rev} not unique`);
    if (match !== undefined) return match;
  }
  if (rev.endsWith('^')) {
    const child = resolveRev(repo, rev.slice(0, -1), options);
    const { parent } = repo.loadCommit(child);
    if (parent === null) throw new AtomicError('failed', `Commit ${child} has no parent`);
    return parent;
  }
  const { remote, ref } = parseRefspec(rev);
  for (let at: Repo | null = repo; at !== null; at = at.parent) {
    const found = readRef(at, rev) ?? (remote === null && options.local !== true ? amongRemotes(at, ref) : null);
    if (found !== null) return found;
  }
  throw new AtomicError('not-found', `Refspec '${rev}' not found`);
}

/** `NAME/REST` may be the ref REST of the remote NAME; else the first remote that has the ref counts. */
function amongRemotes(repo: Repo, ref: string): Checksum | null {
  const remotes = `${repo.path}/refs/remotes`;
  const direct = readRefFile(`${remotes}/${ref}`, ref);
  if (direct !== null) return direct;
  for (const remote of readFolder(remotes)) {
    const found = readRefFile(`${remotes}/${remote}/${ref}`, `${remote}:${ref}`);
    if (found !== null) return found;
  }
  return null;
}

/** The commits whose checksum begins with `short`. */
export function commitsBeginning(repo: Repo, short: string): Checksum[] {
  const objects = `${repo.path}/objects`;
  const prefixes =
    short.length >= 2 ? [short.slice(0, 2)] : readFolder(objects).filter((name) => name.startsWith(short));
  return prefixes
    .filter((prefix) => /^[0-9a-f]{2}$/.test(prefix))
    .flatMap((prefix) =>
      readFolder(`${objects}/${prefix}`)
        .filter((name) => /^[0-9a-f]{62}\.commit$/.test(name) && (prefix + name).startsWith(short))
        .map((name) => prefix + name.slice(0, 62)),
    );
}

function readFolder(path: string): string[] {
  try {
    return readdirSync(path).sort();
  } catch (error) {
    if (errnoCode(error) === 'ENOENT' || errnoCode(error) === 'ENOTDIR') return [];
    throw error;
  }
}
