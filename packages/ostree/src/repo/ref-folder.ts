import { type Dirent, lstatSync, readdirSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { errnoCode } from '@atomic/linux';
import { compareNames } from '../objects/dirtree.ts';
import { isRefFragment, validateRefName } from './ref-name.ts';
import type { Repo } from './repo.ts';

/** What lies right below a local ref's prefix: a ref, or the beginning of longer names. */
export interface RefChild {
  name: string;
  folder: boolean;
}

/** One level of the local refs, sorted as bytes, without reading any of them; nothing below a prefix that no ref has. */
export function readRefFolder(repo: Repo, prefix: string): RefChild[] {
  let entries: Dirent[];
  try {
    entries = readdirSync(join(repo.path, 'refs/heads', validateRefName(prefix)), { withFileTypes: true });
  } catch (error) {
    if (errnoCode(error) === 'ENOENT' || errnoCode(error) === 'ENOTDIR') return [];
    throw error;
  }
  return entries
    .filter((entry) => isRefFragment(entry.name) && !entry.isSymbolicLink())
    .map((entry) => ({ name: entry.name, folder: entry.isDirectory() }))
    .sort((a, b) => compareNames(a.name, b.name));
}

/** When a local ref was last written or touched (milliseconds since 1970); undefined when there is none. */
export function refTime(repo: Repo, ref: string): number | undefined {
  return lstatSync(join(repo.path, 'refs/heads', validateRefName(ref)), { throwIfNoEntry: false })?.mtimeMs;
}

/** Makes {@link refTime} now: somebody still counts on this ref. Returns false when there is none. */
export function touchRef(repo: Repo, ref: string): boolean {
  const now = new Date();
  try {
    utimesSync(join(repo.path, 'refs/heads', validateRefName(ref)), now, now);
    return true;
  } catch (error) {
    if (errnoCode(error) === 'ENOENT' || errnoCode(error) === 'ENOTDIR') return false;
    throw error;
  }
}
