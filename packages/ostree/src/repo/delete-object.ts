import { mkdirSync, rmSync, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { errnoCode } from '@atomic/linux';
import { AtomicError } from '../error.ts';
import { encodeVardict } from '../gvariant/vardict.ts';
import type { Checksum } from '../objects/checksum.ts';
import type { ObjectType } from '../objects/type.ts';
import type { Repo } from './repo.ts';
import { replaceFile } from './write-file.ts';

/**
 * Deletes an object; with a commit goes its detached metadata, and where `[core] tombstone-commits` is set a tombstone
 * takes its place. Throws `not-found`. The caller holds the exclusive lock.
 */
export function deleteObject(repo: Repo, type: ObjectType, checksum: Checksum): void {
  if (type === 'commit') rmSync(repo.objectPath('commitmeta', checksum), { force: true });
  try {
    unlinkSync(repo.objectPath(type, checksum));
  } catch (error) {
    if (errnoCode(error) !== 'ENOENT') throw error;
    throw new AtomicError('not-found', `Deleting object ${checksum}.${type}: unlinkat: No such file or directory`);
  }
  if (type === 'commit' && repo.config.getBoolean('core', 'tombstone-commits') === true) writeTombstone(repo, checksum);
}

/** Notes that a commit was deleted on purpose, so that pulls of its children know (ostree-core.h, TOMBSTONE_COMMIT). */
export function writeTombstone(repo: Repo, checksum: Checksum): void {
  const path = repo.objectPath('tombstone-commit', checksum);
  const value = Buffer.from(`${checksum}\0`);
  mkdirSync(dirname(path), { recursive: true });
  replaceFile(path, encodeVardict(new Map([['commit', { type: 'ay', value }]])), { sync: repo.fsync });
}

/** Sets `[core] tombstone-commits`, if it is not set. */
export function enableTombstones(repo: Repo): void {
  if (repo.config.getBoolean('core', 'tombstone-commits') === true) return;
  repo.config.set('core', 'tombstone-commits', 'true');
  repo.saveConfig();
}
