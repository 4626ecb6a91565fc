import { posix } from 'node:path';
import { corrupt } from '@atomic/ostree';

/** What is at a path of a tree. */
export type TreeItem =
  | { kind: 'directory'; names(): string[] }
  | { kind: 'symlink'; target: string }
  | { kind: 'file'; size: number; read(): Buffer };

/** A tree to look into, wherever it lies; nothing outside of it is ever looked at. */
export interface TreeView {
  /** What is at `path` (relative, no links, no `..` in it); null for nothing, and for what is neither file nor folder nor link. */
  look(path: string): TreeItem | null;
}

/** More links on the way than a tree has in earnest. */
const MAX_LINKS = 40;

/** What is at a path, with links followed within the tree; null where there is nothing, or only links that go round. */
export function follow(view: TreeView, path: string): Exclude<TreeItem, { kind: 'symlink' }> | null {
  let todo = path.split('/').filter((name) => name !== '' && name !== '.');
  let done: string[] = [];
  for (let links = 0; ; ) {
    const name = todo.shift();
    if (name === undefined) break;
    if (name === '..') {
      done.pop();
      continue;
    }
    const item = view.look([...done, name].join('/'));
    if (item === null) return null;
    if (item.kind === 'file' && todo.length > 0) return null;
    if (item.kind !== 'symlink') {
      done.push(name);
      continue;
    }
    if (++links > MAX_LINKS) return null;
    if (item.target.startsWith('/')) done = [];
    todo = [...posix.normalize(item.target).split('/'), ...todo].filter((part) => part !== '' && part !== '.');
  }
  const item = view.look(done.join('/'));
  return item === null || item.kind === 'symlink' ? null : item;
}

/** The content of a file, links followed; null when there is none. Throws `corrupt` above `limit` bytes. */
export function readFileIn(view: TreeView, path: string, limit: number): Buffer | null {
  const item = follow(view, path);
  if (item?.kind !== 'file') return null;
  if (item.size > limit) throw corrupt(`/${path} is ${item.size} bytes, larger than any that is in order`);
  return item.read();
}
