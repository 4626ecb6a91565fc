import { posix } from 'node:path';
import { type Checksum, corrupt, type Repo } from '@atomic/ostree';
import { DPKG_FOLDERS } from './dpkg/status.ts';
import { TAG } from './rpm/header.ts';
import { findRpmdb, packageOfHeader, rpmHeaders } from './rpm/rpmdb.ts';
import { commitView } from './tree/commit-view.ts';
import { follow, readFileIn, type TreeView } from './tree/tree-view.ts';

/** Bytes; the list of a kernel's modules is a hundredth of this. */
const MAX_LIST = 64 * 1024 * 1024;

/**
 * Which paths each package brought: where they are in the tree, absolute, so below /usr even where the package says
 * /bin or /etc. Folders are among them. Empty for a tree without a package database. Throws as {@link readPackages}.
 */
export function packageFiles(repo: Repo, commit: Checksum): Map<string, string[]> {
  const view = commitView(repo, commit);
  const place = placer(view);
  const files = new Map<string, string[]>();
  const add = (name: string, paths: readonly string[]): void => {
    files.set(name, [...(files.get(name) ?? []), ...paths.map(place)]);
  };
  for (const folder of DPKG_FOLDERS) {
    const info = follow(view, `${folder}/info`);
    if (info?.kind !== 'directory') continue;
    for (const file of info.names()) {
      if (!file.endsWith('.list')) continue;
      const list = readFileIn(view, `${folder}/info/${file}`, MAX_LIST)?.toString('utf8') ?? '';
      // NAME.list, or NAME:ARCH.list of a package that may be there twice.
      add(file.slice(0, -'.list'.length).replace(/:.*/, ''), list.split('\n').filter(Boolean));
    }
    return files;
  }
  const folder = findRpmdb(view);
  if (folder === null) return files;
  for (const header of rpmHeaders(view, folder)) {
    const name = packageOfHeader(header)?.name;
    if (name === undefined) continue;
    const folders = header.strings(TAG.dirNames) ?? [];
    const of = header.numbers(TAG.dirIndexes) ?? [];
    const paths = (header.strings(TAG.baseNames) ?? []).map((base, i) => {
      const dir = folders[of[i] ?? -1];
      if (dir === undefined) throw corrupt(`the RPM header of ${name} names a folder that it does not have`);
      return dir + base;
    });
    add(name, paths);
  }
  return files;
}

/** Where a packaged path lies in a tree: links at the top, such as /bin, are followed, and /etc is /usr/etc. */
function placer(view: TreeView): (path: string) => string {
  const links = new Map<string, string>();
  const root = view.look('');
  for (const name of root?.kind === 'directory' ? root.names() : []) {
    const item = view.look(name);
    if (item?.kind === 'symlink') links.set(name, posix.resolve('/', item.target));
  }
  return (path) => {
    const [top = '', ...rest] = path.slice(1).split('/');
    if (top === 'etc') return `/usr${path}`;
    const target = links.get(top);
    return target === undefined ? path : posix.join(target, ...rest);
  };
}
