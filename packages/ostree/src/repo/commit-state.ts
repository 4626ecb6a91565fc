import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { errnoCode } from '@atomic/linux';
import type { Checksum } from '../objects/checksum.ts';
import type { Repo } from './repo.ts';
import { replaceFile } from './write-file.ts';

/** Why a commit's objects may be missing: a pull that was interrupted or took a part only, or damage that fsck found. */
export type PartialReason = 'pull' | 'fsck';

/** The reason noted in `state/COMMIT.commitpartial` (`f` for fsck); null when the commit is whole. */
export function partialReason(repo: Repo, commit: Checksum): PartialReason | null {
  try {
    return readFileSync(repo.partialPath(commit), 'latin1').startsWith('f') ? 'fsck' : 'pull';
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/** Notes that a commit's objects may be missing, or (null) that they are all there. */
export function setPartial(repo: Repo, commit: Checksum, reason: PartialReason | null): void {
  const path = repo.partialPath(commit);
  if (reason === null) {
    rmSync(path, { force: true });
    return;
  }
  mkdirSync(dirname(path), { recursive: true });
  replaceFile(path, reason === 'fsck' ? 'f' : '', { sync: repo.fsync });
}
