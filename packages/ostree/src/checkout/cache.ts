import { existsSync, linkSync, mkdirSync, statSync } from 'node:fs';
import { errnoCode, syncfsPath } from '@atomic/linux';
import type { Checksum } from '../objects/checksum.ts';
import type { Repo } from '../repo/repo.ts';
import { cachePath } from './link-source.ts';

/**
 * Whether an archive repository keeps its files unpacked for the next checkout to link to: `[core]
 * enable-uncompressed-cache`, on unless said otherwise (libostree's ostree-repo-checkout.c).
 */
export function cachesUnpacked(repo: Repo): boolean {
  return repo.archive && (repo.config.getBoolean('core', 'enable-uncompressed-cache') ?? true);
}

/**
 * Gives files just checked out a second name in the cache. They are flushed first: what has a name there is trusted,
 * so it must not be found empty after a power cut. A repository we cannot write to is simply not added to.
 */
export function fillCache(repo: Repo, files: readonly { checksum: Checksum; path: string }[]): void {
  const [first] = files;
  if (first === undefined || !repo.writable) return;
  if (statSync(first.path, { throwIfNoEntry: false })?.dev !== statSync(repo.path).dev) return;
  if (repo.fsync) syncfsPath(repo.path);
  const folders = new Set<string>();
  for (const { checksum, path } of files) {
    const target = cachePath(repo, checksum);
    const folder = target.slice(0, target.lastIndexOf('/'));
    if (!folders.has(folder)) {
      if (!existsSync(folder)) mkdirSync(folder, { recursive: true });
      folders.add(folder);
    }
    try {
      linkSync(path, target);
    } catch (error) {
      const code = errnoCode(error);
      // Not ours to complain of when somebody removed the file meanwhile.
      if (code !== 'EEXIST' && code !== 'EMLINK' && code !== 'ENOENT') throw error;
    }
  }
}
