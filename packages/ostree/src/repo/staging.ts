import { randomBytes } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  type Stats,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { errnoCode, FileLock } from '@atomic/linux';
import type { RepoMode } from './mode.ts';
import type { Repo } from './repo.ts';

const PREFIX = 'staging-';
/**
 * In a staging folder: `XX/` folders of new objects, written under their own names, so that a half-written one may be
 * there after a crash ({@link isFinished} tells). Other tools take objects from `XX/` in the staging folder itself,
 * where there are only whole ones; this folder they pass over.
 */
export const NEW_OBJECTS = 'tmp-new';
let bootId: string | undefined;

/** Names this boot: what a crash left in the page cache of another boot may never have reached the disk. */
function currentBootId(): string {
  bootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return bootId;
}

export interface Staging {
  path: string;
  lock: FileLock;
}

/**
 * A staging folder under `tmp/`, held by its lock: one left by a dead process of this boot (with the objects that
 * {@link isFinished}) or a new one. Folders of earlier boots are unflushed leftovers and are removed.
 */
export function openStaging(repo: Repo): Staging {
  const tmp = join(repo.path, 'tmp');
  const prefix = `${PREFIX}${repo.options.bootId ?? currentBootId()}-`;
  let reused: Staging | null = null;
  for (const name of readdirSync(tmp)) {
    if (!name.startsWith(PREFIX) || name.endsWith('-lock')) continue;
    const path = join(tmp, name);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (!stat?.isDirectory() || justMade(path, stat)) continue;
    const lock = takeLock(path);
    if (lock === null) continue; // a living writer's
    if (name.startsWith(prefix) && reused === null && existsSync(path)) {
      reused = { path, lock };
      takeOver(path, repo.mode);
      continue;
    }
    if (!name.startsWith(prefix)) removeStaging({ path, lock });
    else releaseStaging({ path, lock });
  }
  if (reused !== null) return reused;
  for (;;) {
    const path = join(tmp, `${prefix}${randomBytes(4).toString('hex').slice(0, 6)}`);
    const lock = takeLock(path);
    if (lock === null) continue;
    try {
      mkdirSync(path);
    } catch (error) {
      lock[Symbol.dispose]();
      if (errnoCode(error) === 'EEXIST') continue;
      throw error;
    }
    return { path, lock };
  }
}

/**
 * Stock makes the folder, opens it, and locks it only then (`_ostree_repo_allocate_tmpdir`): one that is empty and new is
 * another process's, though nobody holds its lock. Removing it would fail that process.
 */
function justMade(path: string, { mtimeMs }: Stats): boolean {
  if (Math.abs(Date.now() - mtimeMs) > 60_000) return false;
  try {
    return readdirSync(path).length === 0;
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return true;
    throw error;
  }
}

/** The lock of a staging folder, or null where a living writer has it. */
function takeLock(path: string): FileLock | null {
  const lock = FileLock.tryAcquire(`${path}-lock`, 'exclusive');
  if (lock === null || lock.current) return lock;
  lock[Symbol.dispose]();
  return null;
}

/** Lets go of a staging folder, which stays for the next run to resume; its lock file goes, as stock's does. */
export function releaseStaging(staging: Staging): void {
  rmSync(`${staging.path}-lock`, { force: true });
  staging.lock[Symbol.dispose]();
}

/** Removes a staging folder and its lock file. */
export function removeStaging(staging: Staging): void {
  rmSync(staging.path, { recursive: true, force: true });
  releaseStaging(staging);
}

/** Whether an object's writer came to its end: what it does last is to set the time, or where time has no say the mode. */
function isFinished(mode: RepoMode, name: string, { mtimeMs, mode: bits }: Stats): boolean {
  return mode !== 'archive' && name.endsWith('.file') ? mtimeMs === 0 : (bits & 0o777) === 0o644;
}

const isPrefix = (name: string): boolean => /^[0-9a-f]{2}$/.test(name);

/** Gathers the whole objects of an interrupted writer in {@link NEW_OBJECTS}; what else it left is of use to nobody. */
function takeOver(path: string, mode: RepoMode): void {
  offer(path, mode);
  const prefixes = readdirSync(path).filter(isPrefix);
  if (prefixes.length > 0) mkdirSync(join(path, NEW_OBJECTS));
  for (const prefix of prefixes) renameSync(join(path, prefix), join(path, NEW_OBJECTS, prefix));
}

/** Puts the whole ones of the new objects where other tools take them up, too, and removes what else a writer left. */
function offer(path: string, mode: RepoMode): void {
  const folder = join(path, NEW_OBJECTS);
  for (const prefix of existsSync(folder) ? readdirSync(folder).filter(isPrefix) : []) {
    const [from, to] = [join(folder, prefix), join(path, prefix)];
    for (const name of readdirSync(from)) {
      if (!isFinished(mode, name, lstatSync(join(from, name)))) rmSync(join(from, name), { recursive: true });
    }
    try {
      renameSync(from, to);
    } catch (error) {
      if (errnoCode(error) !== 'ENOTEMPTY' && errnoCode(error) !== 'EEXIST') throw error;
      // Cut off on its way the other way round.
      for (const name of readdirSync(from)) renameSync(join(from, name), join(to, name));
    }
  }
  for (const name of readdirSync(path)) {
    if (name.startsWith('tmp-')) rmSync(join(path, name), { recursive: true, force: true });
  }
}

/** As {@link releaseStaging}, for what was not committed: another tool may go on with it as well. One that was used stays, as stock's does. */
export function abandonStaging(staging: Staging, mode: RepoMode): void {
  try {
    if (readdirSync(staging.path).length === 0) rmdirSync(staging.path);
    else offer(staging.path, mode);
  } catch {
    // What stays is of use, or the next of our own runs sorts it out.
  }
  releaseStaging(staging);
}

/** Removes what has lain in `tmp/` for longer than `[core] tmp-expiry-secs` (a day), and staging folders nobody holds. */
export function cleanTmp(repo: Repo): void {
  const tmp = join(repo.path, 'tmp');
  const expiry = Number(repo.config.get('core', 'tmp-expiry-secs') ?? 86_400);
  const now = Date.now() / 1000;
  for (const name of readdirSync(tmp)) {
    if (name === 'cache' || name.endsWith('-lock')) continue;
    const path = join(tmp, name);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) continue; // another cleaner was first
    if (name.startsWith(PREFIX) && stat.isDirectory()) {
      if (justMade(path, stat)) continue;
      const lock = takeLock(path);
      if (lock !== null) removeStaging({ path, lock });
    } else if (now - stat.mtimeMs / 1000 > expiry) rmSync(path, { recursive: true, force: true });
  }
}
