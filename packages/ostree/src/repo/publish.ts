import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { errnoCode, fsyncPath, syncfsPath } from '@atomic/linux';
import type { Checksum } from '../objects/checksum.ts';
import { type ObjectType, parseLooseName } from '../objects/type.ts';
import type { Repo } from './repo.ts';
import type { Stager } from './stager.ts';
import { NEW_OBJECTS } from './staging.ts';

/** Beyond so many folders one syncfs costs less than an fsync of each. */
const MANY_FOLDERS = 16;

interface StagedFile {
  /** The folder in `objects/` it goes to, and its name there. */
  prefix: string;
  name: string;
  path: string;
}

/** What lies in a staging folder under its own name. */
export function* listStaged(stageDir: string): Generator<{ type: ObjectType; checksum: Checksum }> {
  for (const [prefix, names] of stagedFolders(stageDir)) {
    for (const name of names) {
      const found = parseLooseName(prefix, name);
      if (found !== null) yield found;
    }
  }
}

function* stagedFolders(stageDir: string): Generator<[prefix: string, names: string[]]> {
  let prefixes: string[] = [];
  try {
    prefixes = readdirSync(`${stageDir}/${NEW_OBJECTS}`);
  } catch (error) {
    if (errnoCode(error) !== 'ENOENT') throw error;
  }
  for (const prefix of prefixes.sort()) {
    if (/^[0-9a-f]{2}$/.test(prefix)) yield [prefix, readdirSync(`${stageDir}/${NEW_OBJECTS}/${prefix}`)];
  }
}

/**
 * Moves what a transaction has staged into `objects/`: flushed before, and the folders after, so that a name there means
 * a whole object, power cut or not.
 */
export function publishObjects(repo: Repo, stager: Stager): void {
  const { stageDir } = stager.target;
  const folders = [...stagedFolders(stageDir)];
  if (folders.length + stager.unnamed.size === 0) return;
  if (repo.fsync) syncfsPath(repo.path);
  const objects = `${repo.path}/objects`;
  const touched = new Set<string>();
  const single: StagedFile[] = [];
  for (const [prefix, names] of folders) {
    const path = `${stageDir}/${NEW_OBJECTS}/${prefix}`;
    const plain = names.every((name) => parseLooseName(prefix, name) !== null && !name.endsWith('.commit'));
    if (plain && renameFolder(path, `${objects}/${prefix}`)) touched.add(`${objects}/${prefix}`);
    else {
      for (const name of names) {
        if (parseLooseName(prefix, name) !== null) single.push({ prefix, name, path: `${path}/${name}` });
      }
    }
  }
  for (const [key, file] of stager.unnamed) {
    const name = key.slice(2);
    // Keys are names but for archive's own extension.
    const ending = repo.archive && name.endsWith('.file') ? 'z' : '';
    single.push({ prefix: key.slice(0, 2), name: name + ending, path: `${stageDir}/${file}` });
  }
  // Commits last: one that is there before its trees would, to a reader, be corrupt rather than absent.
  const late = ({ name }: StagedFile) => (name.endsWith('.commit') ? 1 : 0);
  single.sort((a, b) => late(a) - late(b) || Number.parseInt(a.prefix, 16) - Number.parseInt(b.prefix, 16));
  for (const { prefix, name, path } of single) {
    const folder = `${objects}/${prefix}`;
    if (!touched.has(folder)) {
      mkdirSync(folder, { recursive: true });
      touched.add(folder);
    }
    renameSync(path, `${folder}/${name}`);
    // A commit that is back needs no tombstone.
    if (name.endsWith('.commit')) rmSync(`${folder}/${name.slice(0, -7)}.tombstone-commit`, { force: true });
  }
  if (!repo.fsync) return;
  if (touched.size > MANY_FOLDERS) syncfsPath(repo.path);
  else {
    for (const folder of touched) fsyncPath(folder);
    fsyncPath(objects);
  }
}

/** Moves a whole folder where there is none or an empty one, as in a new repository: one call for many objects. */
function renameFolder(from: string, to: string): boolean {
  try {
    renameSync(from, to);
    return true;
  } catch (error) {
    if (errnoCode(error) !== 'ENOTEMPTY' && errnoCode(error) !== 'EEXIST') throw error;
    return false;
  }
}
