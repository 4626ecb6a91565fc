import { rmSync } from 'node:fs';
import { diffEtc, shown, Tree } from '../etc-merge.ts';
import { mirrorEntry } from '../mirror-tree.ts';

/** What became of the new defaults in a running /etc; paths relative to it. */
export interface LiveEtc {
  added: string[];
  modified: string[];
  removed: string[];
  /** Changed here, so left as they are. */
  kept: string[];
}

/**
 * Brings a running /etc from one set of defaults to another: what was not changed here follows them, each file by rename.
 * A run that was cut off is completed by the next with the same sets.
 */
export function followDefaults(before: string, after: string, etc: string): LiveEtc {
  const local = diffEtc(before, etc);
  const upstream = diffEtc(before, after);
  const mine = new Set([...local.modified, ...local.added, ...local.removed]);
  const below = [...local.modified, ...local.added];
  const target = new Tree(etc);
  const from = new Tree(after);
  const done: LiveEtc = { added: [], modified: [], removed: [], kept: [] };
  /** Changed here, or in a folder that was. */
  const isMine = (path: string): boolean => {
    for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) {
      const part = path.slice(0, end);
      if (
        local.removed.includes(part) ||
        (mine.has(part) && (end === path.length || !target.stat(part)?.isDirectory()))
      )
        return true;
    }
    return false;
  };
  for (const list of ['added', 'modified'] as const) {
    for (const path of upstream[list]) {
      if (isMine(path)) done.kept.push(shown(path));
      else {
        mirrorEntry(from, target, path);
        done[list].push(shown(path));
      }
    }
  }
  for (const path of upstream.removed) {
    if (local.removed.includes(path)) continue;
    if (isMine(path) || below.some((other) => other.startsWith(`${path}/`))) done.kept.push(shown(path));
    else {
      rmSync(target.at(path), { recursive: true, force: true });
      done.removed.push(shown(path));
    }
  }
  return done;
}
