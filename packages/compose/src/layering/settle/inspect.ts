import { type BigIntStats, lstatSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { AtomicError } from '@atomic/ostree';

/** What was written to a tree, as far as settling it needs to know. */
export interface Written {
  /** Bytes that files say they have. */
  size: number;
  /** Kernel releases whose modules changed. */
  modules: ReadonlySet<string>;
}

/** Folders below the root where this process reads what packages put there. */
const READ_HERE = /^usr\/(?:lib\/(?:sysusers|tmpfiles)\.d|etc\/tmpfiles\.d)\//;
/** Folders that make a tree one: a script that replaces them has broken it. */
const SHAPE = ['usr', 'usr/bin', 'usr/lib', 'usr/sbin', 'usr/etc', 'usr/share'];

/** Whether an entry of an upper directory says that there is nothing (overlayfs.rst: a character device 0/0). */
const isWhiteout = (stat: BigIntStats): boolean => stat.isCharacterDevice() && stat.rdev === 0n;

/** Throws `invalid` when something that the tree's shape consists of was replaced: in the root, or below /usr. */
export function checkShape(upper: string, lower: string): void {
  const replaced = (path: string): AtomicError =>
    new AtomicError('invalid', `it replaced /${path}, which belongs to the tree`, {
      hint: 'nothing was changed; leave the package out',
    });
  for (const name of readdirSync(upper)) {
    const before = lstatSync(join(lower, name), { throwIfNoEntry: false });
    if (before === undefined) continue;
    if (!before.isDirectory() || !lstatSync(join(upper, name)).isDirectory()) throw replaced(name);
  }
  for (const path of SHAPE) {
    const stat = lstatSync(join(upper, path), { throwIfNoEntry: false });
    if (stat !== undefined && !stat.isDirectory()) throw replaced(path);
  }
}

/**
 * Looks through what was written. Throws `invalid` for what no tree holds, and for links that would lead this process
 * out of the tree while it settles what packages left.
 */
export function inspectUpper(upper: string): Written {
  let size = 0;
  const modules = new Set<string>();
  const walk = (path: string): void => {
    const folder = join(upper, path);
    for (const name of readdirSync(folder)) {
      const below = path === '' ? name : `${path}/${name}`;
      const stat = lstatSync(join(upper, below), { bigint: true });
      const release = /^usr\/lib\/modules\/([^/]+)\/(?:.*\.ko(?:\.\w+)?)$/.exec(below)?.[1];
      if (release !== undefined) modules.add(release);
      if (stat.isDirectory()) walk(below);
      else if (stat.isFile()) size += Number(stat.size);
      else if (stat.isSymbolicLink()) {
        if (READ_HERE.test(below) && !harmless(readlinkSync(join(upper, below)))) {
          throw new AtomicError('invalid', `a package put a link that leads elsewhere at /${below}`, {
            hint: 'nothing was changed; leave the package out',
          });
        }
      } else if (!isWhiteout(stat)) {
        throw new AtomicError('invalid', `a package made /${below}, which is no file, folder or link`, {
          hint: 'a tree cannot hold devices, sockets and fifos; leave the package out',
        });
      }
    }
  };
  walk('');
  return { size, modules };
}

const harmless = (target: string): boolean => target === '/dev/null' || !target.includes('/');
