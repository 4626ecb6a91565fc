import { randomBytes } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import { errnoCode, FileLock } from '@atomic/linux';
import type { Repo } from './repo.ts';

const PREFIX = 'staging-';
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
 * A staging folder under `tmp/`, held by its lock: one left by a dead process of this boot (its objects are whole,
 * each was renamed into place) or a new one. Folders of earlier boots are unflushed leftovers and are removed.
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
      dropHalfWritten(path);
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

/** What an interrupted writer had not named yet is of use to nobody. */
function dropHalfWritten(path: string): void {
  for (const name of readdirSync(path)) {
    if (name.startsWith('tmp-')) rmSync(join(path, name), { recursive: true, force: true });
  }
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
