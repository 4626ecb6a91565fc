import { diffEtc, type EtcDiff, sameEntry, Tree } from './etc-merge.ts';

/**
 * Something in /etc that was changed here and by the new tree's defaults. Files are not merged within: what is here is
 * kept, and the administrator is told, because the new defaults may have been a fix.
 */
export interface EtcConflict {
  /** Relative to /etc. */
  path: string;
  here: 'added' | 'modified' | 'removed';
  defaults: 'added' | 'modified' | 'removed';
}

const readable = (path: string) => Buffer.from(path, 'latin1').toString();

/**
 * Finds what a merge decides in favour of the local side although the defaults changed, too: `defaults` and `current`
 * are the /usr/etc and /etc of the old deployment, `fresh` the /usr/etc of the new one. Both sides having come to the
 * same is no conflict.
 */
export function findEtcConflicts(
  trees: { defaults: string; current: string; fresh: string },
  diff: EtcDiff = diffEtc(trees.defaults, trees.current),
): EtcConflict[] {
  const upstream = diffEtc(trees.defaults, trees.fresh);
  const changed = new Set([...upstream.modified, ...upstream.added, ...upstream.removed]);
  const here = new Tree(trees.current);
  const there = new Tree(trees.fresh);
  const conflicts: EtcConflict[] = [];
  const differ = (path: string) => !sameEntry(here, there, path);
  for (const path of diff.modified) {
    if (there.statInside(path) === null) conflicts.push({ path, here: 'modified', defaults: 'removed' });
    else if (changed.has(path) && differ(path)) conflicts.push({ path, here: 'modified', defaults: 'modified' });
  }
  for (const path of diff.added) {
    if (there.statInside(path) !== null && differ(path)) conflicts.push({ path, here: 'added', defaults: 'added' });
  }
  const news = [...upstream.modified, ...upstream.added];
  for (const path of diff.removed) {
    // A folder that is gone here counts when anything below it is new.
    if (news.some((other) => other === path || other.startsWith(`${path}/`))) {
      conflicts.push({ path, here: 'removed', defaults: 'modified' });
    }
  }
  return conflicts
    .map((conflict) => ({ ...conflict, path: readable(conflict.path) }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}
