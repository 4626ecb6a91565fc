import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, posix } from 'node:path';
import { lsetxattr, readXattrs } from '@atomic/linux';
import { AtomicError } from '@atomic/ostree';

/**
 * A path of a tree that packages and scripts have written to, for this process to read or write. Throws `invalid` when a
 * link stands on the way: it could lead anywhere on this machine.
 */
export function inTree(root: string, path: string): string {
  let at = root;
  for (const part of path.split('/').filter((one) => one !== '' && one !== '.')) {
    at = join(at, part);
    const stat = lstatSync(at, { throwIfNoEntry: false });
    if (stat === undefined) break;
    if (stat.isSymbolicLink()) {
      throw new AtomicError(
        'invalid',
        `a package or a script put a link at /${posix.relative(root, at)}, which may lead anywhere on this machine`,
        { hint: 'leave out what makes it' },
      );
    }
  }
  return join(root, path);
}

/** A file of a tree as text; undefined when there is none. */
export function readInTree(root: string, path: string): string | undefined {
  const full = inTree(root, path);
  return lstatSync(full, { throwIfNoEntry: false })?.isFile() ? readFileSync(full, 'utf8') : undefined;
}

/** A folder of a tree, made where there is none. */
export function folderInTree(root: string, path: string): string {
  const full = inTree(root, path);
  mkdirSync(full, { recursive: true });
  return full;
}

/**
 * Writes a file of a tree, and makes its folders. What is there is unlinked first: it may be a link, or have other names.
 * Owner, mode and SELinux label of a file that is there stay.
 */
export function writeInTree(root: string, path: string, data: string | Uint8Array, mode = 0o644): void {
  const full = join(folderInTree(root, posix.dirname(path)), posix.basename(path));
  const before = lstatSync(full, { throwIfNoEntry: false });
  if (before?.isDirectory()) throw new AtomicError('invalid', `/${path} of the tree is a folder, not a file`);
  const kept = before?.isFile() ? before : undefined;
  const label = kept && readXattrs(full).find(({ name }) => String(name) === 'security.selinux');
  rmSync(full, { force: true });
  writeFileSync(full, data, { flag: 'wx', mode });
  if (kept !== undefined) chownSync(full, kept.uid, kept.gid);
  if (label !== undefined) lsetxattr(full, label.name, label.value);
  chmodSync(full, kept === undefined ? mode : kept.mode & 0o7777);
}

/** Removes what a tree has at a path; of a link, only the link. */
export function removeInTree(root: string, path: string): void {
  rmSync(join(inTree(root, posix.dirname(path)), posix.basename(path)), { recursive: true, force: true });
}

/** Names in a folder of a tree, sorted; none when it is no folder. */
export function listInTree(root: string, path: string): string[] {
  const full = inTree(root, path);
  return lstatSync(full, { throwIfNoEntry: false })?.isDirectory() ? readdirSync(full).sort() : [];
}

/** Where a path leads to inside a tree, its links followed as they would be there; undefined for a circle. */
export function followInTree(root: string, path: string): string | undefined {
  let rest = path.split('/').filter(Boolean);
  let at = '/';
  for (let links = 0; rest.length > 0; ) {
    const [part = '', ...others] = rest;
    rest = others;
    const next = posix.join(at, part);
    const stat = lstatSync(join(root, next), { throwIfNoEntry: false });
    if (!stat?.isSymbolicLink()) {
      at = next;
      continue;
    }
    if (++links > 40) return undefined;
    const target = readlinkSync(join(root, next));
    rest = [...target.split('/').filter(Boolean), ...rest];
    if (target.startsWith('/')) at = '/';
  }
  return at;
}
