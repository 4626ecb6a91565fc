import { lstatSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { posix } from 'node:path';
import { errnoCode } from '@atomic/linux';
import { dropFolder } from './host-file.ts';

/**
 * Folders and files that files for systemd-tmpfiles (tmpfiles.d(5)) will make on a machine that does not have them yet:
 * what is written there is the data of what is deployed. Lines with specifiers or quotes are passed over.
 */
export function newData(files: readonly string[], root: string): string[] {
  const found = new Set<string>();
  for (const file of files) {
    for (const line of readFileSync(file, 'utf8').split('\n')) {
      const [type = '', name = ''] = line.trim().split(/\s+/);
      if (!/^[dDvqQfF][!=~^$+-]*$/.test(type) || !name.startsWith('/') || /[%"'\\]/.test(name)) continue;
      const path = posix.normalize(name).replace(/(?<=.)\/$/, '');
      if (path !== '/' && lstatSync(root + path, { throwIfNoEntry: false }) === undefined) found.add(path);
    }
  }
  return [...found];
}

/** Removes data: all of it, or only what nothing was ever written to. May be done again; what cannot be removed stays. */
export function dropData(paths: readonly string[], root: string, all: boolean): void {
  // What lies in another comes before it.
  for (const path of [...paths].sort().reverse()) {
    const host = root + path;
    const stat = lstatSync(host, { throwIfNoEntry: false });
    if (stat === undefined) continue;
    try {
      if (all) rmSync(host, { recursive: true, force: true });
      else if (stat.isDirectory()) dropFolder(host);
      else if (stat.isFile() && stat.size === 0) rmSync(host, { force: true });
    } catch (error) {
      // A user's container may have made files of other users, and something may be mounted there.
      if (errnoCode(error) === undefined) throw error;
    }
  }
}

/** Those of the paths that are still there, and hold something where `written` is asked for. */
export function remainingData(paths: readonly string[], root: string, written = false): string[] {
  return paths.filter((path) => {
    const stat = lstatSync(root + path, { throwIfNoEntry: false });
    if (stat === undefined || !written) return stat !== undefined;
    if (!stat.isDirectory()) return stat.size > 0;
    try {
      return readdirSync(root + path).length > 0;
    } catch (error) {
      if (errnoCode(error) === 'EACCES') return true;
      throw error;
    }
  });
}
