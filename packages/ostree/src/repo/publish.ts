import { lstatSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { errnoCode, syncfsPath } from '@atomic/linux';
import type { Checksum } from '../objects/checksum.ts';
import { loosePath, type ObjectType, parseLooseName } from '../objects/type.ts';
import type { Repo } from './repo.ts';
import type { Stager } from './stager.ts';
import { NEW_OBJECTS } from './staging.ts';

/** Up to so many objects are flushed one by one: syncfs waits for what everybody else is writing, too. */
const FEW_OBJECTS = 8;
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
  for (const prefix of stagedPrefixes(stageDir)) {
    for (const name of readdirSync(`${stageDir}/${NEW_OBJECTS}/${prefix}`)) {
      const found = parseLooseName(prefix, name);
      if (found !== null) yield found;
    }
  }
}

function stagedPrefixes(stageDir: string): string[] {
  try {
    return readdirSync(`${stageDir}/${NEW_OBJECTS}`)
      .filter((name) => /^[0-9a-f]{2}$/.test(name))
      .sort();
  } catch (error) {
    if (errnoCode(error) !== 'ENOENT') throw error;
    return [];
  }
}

/**
 * Moves what a transaction has staged into `objects/`: flushed before, and the folders after, so that a name there means
 * a whole object, power cut or not.
 */
export async function publishObjects(repo: Repo, stager: Stager): Promise<void> {
  const { stageDir } = stager.target;
  const prefixes = stagedPrefixes(stageDir);
  if (prefixes.length + stager.unnamed.size === 0) return;
  if (repo.fsync) await flushStaged(repo, stager, prefixes);
  const objects = `${repo.path}/objects`;
  const touched = new Set<string>();
  const late: StagedFile[] = [];
  const move = ({ prefix, name, path }: StagedFile): void => {
    const folder = `${objects}/${prefix}`;
    if (!touched.has(folder)) {
      mkdirSync(folder, { recursive: true });
      touched.add(folder);
    }
    renameSync(path, `${folder}/${name}`);
  };
  // Commits last: one that is there before its trees would, to a reader, be corrupt rather than absent.
  const moveInTurn = (file: StagedFile): void => {
    if (file.name.endsWith('.commit')) late.push(file);
    else move(file);
  };
  for (const prefix of prefixes) {
    const path = `${stageDir}/${NEW_OBJECTS}/${prefix}`;
    const names = readdirSync(path);
    const plain = names.every((name) => parseLooseName(prefix, name) !== null && !name.endsWith('.commit'));
    if (plain && renameFolder(path, `${objects}/${prefix}`)) touched.add(`${objects}/${prefix}`);
    else {
      for (const name of names) {
        if (parseLooseName(prefix, name) !== null) moveInTurn({ prefix, name, path: `${path}/${name}` });
      }
    }
  }
  for (const { type, checksum, path } of stager.unnamed.inFolders()) {
    const [prefix = '', name = ''] = loosePath(type, checksum, repo.archive).split('/');
    moveInTurn({ prefix, name, path: `${stageDir}/${path}` });
  }
  for (const file of late) {
    move(file);
    // A commit that is back needs no tombstone.
    rmSync(`${objects}/${file.prefix}/${file.name.slice(0, -7)}.tombstone-commit`, { force: true });
  }
  if (!repo.fsync) return;
  if (touched.size > MANY_FOLDERS) syncfsPath(repo.path);
  else await flushEach([...touched, objects]);
}

/** Brings what is staged to the disk. */
async function flushStaged(repo: Repo, stager: Stager, prefixes: readonly string[]): Promise<void> {
  const few = fewStaged(stager, prefixes);
  try {
    if (few !== null) await flushEach(few);
  } catch (error) {
    // Who may not read a file that is his cannot open it to flush it.
    if (errnoCode(error) !== 'EACCES') throw error;
    syncfsPath(repo.path);
  }
  if (few === null) syncfsPath(repo.path);
}

/** Flushes files and folders side by side: what comes together takes the file system one commit of its journal. */
async function flushEach(paths: readonly string[]): Promise<void> {
  await Promise.all(
    paths.map(async (path) => {
      const file = await open(path, 'r');
      try {
        await file.sync();
      } finally {
        await file.close();
      }
    }),
  );
}

/** The staged files, if there are few of them and all can be flushed by themselves (a link cannot); else null. */
function fewStaged(stager: Stager, prefixes: readonly string[]): string[] | null {
  const { stageDir } = stager.target;
  const paths: string[] = [];
  for (const { path } of stager.unnamed.inFolders()) {
    if (paths.length === FEW_OBJECTS) return null;
    paths.push(`${stageDir}/${path}`);
  }
  for (const prefix of prefixes) {
    const folder = `${stageDir}/${NEW_OBJECTS}/${prefix}`;
    paths.push(...readdirSync(folder).map((name) => `${folder}/${name}`));
    if (paths.length > FEW_OBJECTS) return null;
  }
  return paths.some((path) => lstatSync(path).isSymbolicLink()) ? null : paths;
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
