import { accessSync, constants } from 'node:fs';
import { isAbsolute } from 'node:path';
import { AtomicError } from '@atomic/ostree';

const PLACES = ['/usr/bin', '/usr/sbin', '/bin', '/sbin', '/usr/local/bin', '/usr/local/sbin'];

const canRun = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

/** The path of a runtime: the one asked for, else runc, else crun. Throws `not-found`. */
export function findRuntime(wanted: string | undefined): string {
  const names = wanted === undefined ? ['runc', 'crun'] : [wanted];
  for (const name of names) {
    const paths = isAbsolute(name) ? [name] : PLACES.map((folder) => `${folder}/${name}`);
    const found = /^[\w./-]+$/.test(name) ? paths.find(canRun) : undefined;
    if (found !== undefined) return found;
  }
  throw new AtomicError('not-found', `cannot run ${names.join(' or ')}: there is no such program`, {
    hint: 'install the package runc or crun, or name another with --runtime',
  });
}
