import { lstatSync } from 'node:fs';
import { parseLooseName } from '../objects/type.ts';
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
  const reach = (rev: string): Set<string> => {
    const set = new Reach(repo);
    set.addCommit(repo.resolveRev(rev));
    return set.objects;
  };
  const [a, b] = [reach(from), reach(to)];
  let common = 0;
  let commonBytes = 0;
  for (const key of a) {
    if (!b.has(key)) continue;
    common++;
    const object = parseLooseName(key.slice(0, 2), key.slice(2));
    if (object !== null) commonBytes += lstatSync(repo.objectPath(object.type, object.checksum)).size;
  }
  return { objects: [a.size, b.size], common, commonBytes };
}
