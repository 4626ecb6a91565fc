import { lstatSync, readdirSync, readlinkSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { readXattrs } from '@atomic/linux';
import { AtomicError } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import type { DirMeta } from '../objects/dirmeta.ts';
import { validateFileName } from '../objects/dirtree.ts';
import type { FileHeader } from '../objects/file.ts';
import type { Repo } from '../repo/repo.ts';

/** A file of a tree to be committed: on disk and not hashed yet, or an object already. */
export type FileNode =
  | { kind: 'disk'; path: string; stat: Stats; header: FileHeader; checksum: Checksum | null }
  | { kind: 'object'; checksum: Checksum };

/** A directory of a tree to be committed. A committed one stays unread (`origin`) until something is laid over it. */
export interface DirNode {
  meta: DirMeta | { checksum: Checksum } | null;
  files: Map<string, FileNode>;
  dirs: Map<string, DirNode>;
  origin: Checksum | null;
}

export const emptyDir = (): DirNode => ({ meta: null, files: new Map(), dirs: new Map(), origin: null });

function childDir(parent: DirNode, name: string): DirNode {
  let dir = parent.dirs.get(name);
  if (dir === undefined) {
    dir = emptyDir();
    parent.dirs.set(name, dir);
  }
  return dir;
}

/** What of a file's or directory's metadata goes into the commit. */
export interface Modifier {
  uid?: number | undefined;
  gid?: number | undefined;
  canonicalPermissions?: boolean | undefined;
  noXattrs?: boolean | undefined;
  /** By absolute path in the tree: permission bits to set instead (`--statoverride`), or false to leave it out. */
  filter?: ((path: string, stat: Stats) => boolean | { mode: number }) | undefined;
}

/** Lays a directory of the file system over `into`; returns how many files are to be hashed. */
export function readDirectory(root: string, into: DirNode, modifier: Modifier, repo: Repo): number {
  let files = 0;
  const names = new TextDecoder('utf-8', { fatal: true });
  const visit = (path: string, inTree: string, node: DirNode, stat: Stats) => {
    const verdict = modifier.filter?.(inTree, stat) ?? true;
    const mode = typeof verdict === 'object' ? (stat.mode & 0o170000) | verdict.mode : stat.mode;
    node.meta = {
      uid: owner(stat.uid, modifier.uid, modifier),
      gid: owner(stat.gid, modifier.gid, modifier),
      mode: modifier.canonicalPermissions ? mode & 0o040755 : mode,
      xattrs: modifier.noXattrs || modifier.canonicalPermissions ? [] : readXattrs(path),
    };
    for (const raw of readdirSync(path, { encoding: 'buffer' })) {
      let name: string;
      try {
        name = validateFileName(names.decode(raw));
      } catch (error) {
        throw new AtomicError('invalid', `Invalid filename in ${path}: '${raw.toString('latin1')}' is not UTF-8`, {
          cause: error,
        });
      }
      const child = join(path, name);
      const childInTree = inTree === '/' ? `/${name}` : `${inTree}/${name}`;
      const childStat = lstatSync(child);
      const keep = modifier.filter?.(childInTree, childStat) ?? true;
      if (keep === false) continue;
      if (childStat.isDirectory()) {
        expand(node, repo);
        if (node.files.has(name)) node.files.delete(name);
        visit(child, childInTree, childDir(node, name), childStat);
        continue;
      }
      if (!childStat.isFile() && !childStat.isSymbolicLink()) {
        throw new AtomicError('invalid', `Not a regular file or symlink: ${child}`, {
          hint: 'device nodes, fifos and sockets are made at boot (tmpfiles.d), a tree cannot hold them',
        });
      }
      expand(node, repo);
      node.dirs.delete(name);
      node.files.set(name, {
        kind: 'disk',
        path: child,
        stat: childStat,
        header: fileHeader(child, childStat, modifier, typeof keep === 'object' ? keep.mode : null),
        checksum: null,
      });
      files++;
    }
  };
  const stat = lstatSync(root);
  if (!stat.isDirectory()) throw new AtomicError('invalid', `${root} is not a directory`);
  visit(root, '/', into, stat);
  return files;
}

/** Lays a committed tree over `into`. Whole untouched directories are taken by reference. */
export function readCommitted(repo: Repo, tree: Checksum, meta: Checksum, into: DirNode): void {
  into.meta = { checksum: meta };
  if (into.files.size === 0 && into.dirs.size === 0 && into.origin === null) {
    into.origin = tree;
    return;
  }
  expand(into, repo);
  const listing = repo.loadDirTree(tree);
  for (const { name, checksum } of listing.files) {
    into.dirs.delete(name);
    into.files.set(name, { kind: 'object', checksum });
  }
  for (const dir of listing.dirs) {
    into.files.delete(dir.name);
    readCommitted(repo, dir.tree, dir.meta, childDir(into, dir.name));
  }
}

/** Reads a by-reference directory's entries, so that they can change. */
export function expand(node: DirNode, repo: Repo): void {
  if (node.origin === null) return;
  const listing = repo.loadDirTree(node.origin);
  node.origin = null;
  for (const { name, checksum } of listing.files) node.files.set(name, { kind: 'object', checksum });
  for (const dir of listing.dirs) {
    node.dirs.set(dir.name, { meta: { checksum: dir.meta }, files: new Map(), dirs: new Map(), origin: dir.tree });
  }
}

function owner(actual: number, wanted: number | undefined, modifier: Modifier): number {
  return wanted ?? (modifier.canonicalPermissions ? 0 : actual);
}

function fileHeader(path: string, stat: Stats, modifier: Modifier, override: number | null): FileHeader {
  const link = stat.isSymbolicLink();
  const mode = override === null ? stat.mode : (stat.mode & 0o170000) | override;
  return {
    uid: owner(stat.uid, modifier.uid, modifier),
    gid: owner(stat.gid, modifier.gid, modifier),
    mode: modifier.canonicalPermissions && !link ? mode & 0o100755 : mode,
    target: link ? readlinkSync(path) : '',
    xattrs: modifier.noXattrs || modifier.canonicalPermissions ? [] : readXattrs(path),
  };
}
