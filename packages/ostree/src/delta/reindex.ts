import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Checksum, validateChecksum } from '../objects/checksum.ts';
import type { Repo } from '../repo/repo.ts';
import { replaceFile } from '../repo/write-file.ts';
import { type DeltaName, deltaIndexPath, deltaName, listDeltaIndexes, listDeltas, superblockDigest } from './names.ts';
import { serializeDeltaIndex } from './superblock.ts';

/**
 * Writes anew the index of the deltas to a commit, or to every commit: a client fetches the one file and knows the
 * deltas it can use. An index with nothing left to list is removed. Also notes in the config that there are such
 * indexes. The caller holds the repository's lock.
 */
export function reindexDeltas(repo: Repo, options: { to?: Checksum | undefined } = {}): void {
  if (repo.config.getBoolean('core', 'indexed-deltas') !== true) {
    repo.config.set('core', 'indexed-deltas', 'true');
    repo.saveConfig();
  }
  const wanted = options.to === undefined ? listDeltaIndexes(repo) : [validateChecksum(options.to)];
  const byCommit = new Map<Checksum, DeltaName[]>(wanted.map((to) => [to, []]));
  for (const delta of listDeltas(repo)) {
    if (options.to !== undefined && delta.to !== options.to) continue;
    const known = byCommit.get(delta.to);
    if (known === undefined) byCommit.set(delta.to, [delta]);
    else known.push(delta);
  }
  for (const [to, deltas] of byCommit) {
    const path = join(repo.path, deltaIndexPath(to));
    if (deltas.length === 0) {
      rmSync(path, { force: true });
      continue;
    }
    const index = serializeDeltaIndex(
      new Map(deltas.map((delta) => [deltaName(delta), superblockDigest(repo, delta)])),
    );
    mkdirSync(dirname(path), { recursive: true });
    if (!existsSync(path) || !readFileSync(path).equals(index)) replaceFile(path, index, { sync: repo.fsync });
  }
}
