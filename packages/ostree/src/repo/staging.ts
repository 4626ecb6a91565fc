import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
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
  const prefix = `${PREFIX}${currentBootId()}-`;
  let reused: Staging | null = null;
  for (const name of readdirSync(tmp)) {
    if (!name.startsWith(PREFIX) || name.endsWith('-lock')) continue;
    const path = join(tmp, name);
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) continue;
    const lock = FileLock.tryAcquire(`${path}-lock`, 'exclusive');
    if (lock === null) continue; // a living writer's
    if (name.startsWith(prefix) && reused === null && existsSync(path)) {
      reused = { path, lock };
      continue;
    }
    if (!name.startsWith(prefix)) removeStaging({ path, lock });
    else lock[Symbol.dispose]();
  }
  if (reused !== null) return reused;
  for (;;) {
    const path = join(tmp, `${prefix}${randomBytes(4).toString('hex').slice(0, 6)}`);
    const lock = FileLock.tryAcquire(`${path}-lock`, 'exclusive');
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

/** Removes a staging folder and its lock file. */
export function removeStaging(staging: Staging): void {
  rmSync(staging.path, { recursive: true, force: true });
  rmSync(`${staging.path}-lock`, { force: true });
  staging.lock[Symbol.dispose]();
}
