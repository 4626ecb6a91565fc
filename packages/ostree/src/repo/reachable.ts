import type { Checksum } from '../objects/checksum.ts';
import type { MetadataType, ObjectType } from '../objects/type.ts';
import type { Repo } from './repo.ts';

/** Objects by kind, as a compact set: one string a kind and checksum. */
export type ObjectSet = Set<string>;

export const objectKey = (type: ObjectType, checksum: Checksum): string => `${checksum}.${type}`;

/** Adds a commit and all its trees and files to `into`. `missing` hears of metadata that is not there. */
export function addReachable(
  repo: Repo,
  commit: Checksum,
  into: ObjectSet,
  missing: (type: MetadataType, checksum: Checksum, error: unknown) => void,
): void {
  const attempt = <T>(type: MetadataType, checksum: Checksum, load: () => T): T | null => {
    try {
      return load();
    } catch (error) {
      missing(type, checksum, error);
      return null;
    }
  };
  into.add(objectKey('commit', commit));
  const root = attempt('commit', commit, () => repo.loadCommit(commit));
  if (root === null) return;
  const pending = [root.tree];
  into.add(objectKey('dirmeta', root.meta));
  for (let tree = pending.pop(); tree !== undefined; tree = pending.pop()) {
    const checksum = tree;
    const key = objectKey('dirtree', checksum);
    if (into.has(key)) continue;
    into.add(key);
    const listing = attempt('dirtree', checksum, () => repo.loadDirTree(checksum));
    for (const file of listing?.files ?? []) into.add(objectKey('file', file.checksum));
    for (const dir of listing?.dirs ?? []) {
      into.add(objectKey('dirmeta', dir.meta));
      pending.push(dir.tree);
    }
  }
}
