import { lstatSync } from 'node:fs';
import { Reach } from '../repo/reachable.ts';
import type { Repo } from '../repo/repo.ts';

/** What two commits share. */
export interface DiffStats {
  /** Objects of the first and of the second commit. */
  objects: [number, number];
  common: number;
  /** Bytes that the common objects take on disk. */
  commonBytes: number;
}

/** Counts objects of two commits. */
export function diffStats(repo: Repo, from: string, to: string): DiffStats {
  const reach = (rev: string): Reach => {
    const set = new Reach(repo);
    set.addCommit(repo.resolveRev(rev));
    return set;
  };
  const [a, b] = [reach(from), reach(to)];
  let common = 0;
  let commonBytes = 0;
  for (const { type, checksum } of a.objects()) {
    if (!b.has(type, checksum)) continue;
    common++;
    commonBytes += lstatSync(repo.objectPath(type, checksum)).size;
  }
  return { objects: [a.size, b.size], common, commonBytes };
}
