import { lstatSync, readdirSync, statSync } from 'node:fs';
import { compareNames } from '../objects/dirtree.ts';
import { MAX_METADATA_SIZE } from '../objects/type.ts';
import { Repo } from '../repo/repo.ts';

/** Where repositories lie on a volume besides `.ostree/repos.d/`, looked at in this order. */
const WELL_KNOWN = ['.ostree/repo', 'ostree/repo', 'var/lib/flatpak/repo'];

/** Whether a file is one, and of a size that can be read: a link to a device would have no end. */
function harmless(path: string): boolean {
  const stat = lstatSync(path);
  return stat.isFile() && stat.size <= MAX_METADATA_SIZE;
}

/**
 * The repositories on a mounted volume (libostree's ostree-repo-finder-mount.c), those of `.ostree/repos.d` first. Links
 * that lead out of the volume, `except` and what cannot be opened are passed over.
 */
export function mountedRepos(mount: string, except: Repo): Repo[] {
  let device: number;
  let names: string[] = [];
  try {
    device = statSync(mount).dev;
    names = readdirSync(`${mount}/.ostree/repos.d`).sort(compareNames);
  } catch {
    device = statSync(mount, { throwIfNoEntry: false })?.dev ?? -1;
  }
  const own = statSync(except.path);
  const found = new Map<string, Repo>();
  for (const path of [...names.map((name) => `.ostree/repos.d/${name}`), ...WELL_KNOWN]) {
    try {
      const stat = statSync(`${mount}/${path}`);
      if (stat.dev !== device || (stat.dev === own.dev && stat.ino === own.ino)) continue;
      if (!harmless(`${mount}/${path}/config`) || !harmless(`${mount}/${path}/summary`)) continue;
      const repo = Repo.open(`${mount}/${path}`);
      if (!found.has(repo.path)) found.set(repo.path, repo);
    } catch {
      // Whatever is on the volume, it is none of ours: no reason to fail.
    }
  }
  return [...found.values()];
}
