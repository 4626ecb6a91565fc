import {
  chmodSync,
  chownSync,
  copyFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { readAccounts } from '../../postprocess/accounts.ts';
import { declaredPaths, escapePath, varToTmpfiles } from '../../postprocess/var.ts';
import { folderInTree, inTree } from '../../tree-files.ts';
import type { LayerSpace } from '../space.ts';

/** Each path of /var with what tells that it changed. */
export type VarState = ReadonlyMap<string, string>;

/** Where files go that packages have below /opt and /usr/local: folders of the host, so the tree keeps them elsewhere. */
const HOST_FOLDERS = [
  { inVar: 'opt', inTree: 'usr/lib/opt', whole: true },
  { inVar: 'usrlocal', inTree: 'usr/lib/usrlocal', whole: false },
] as const;

/** What /var is before packages are installed. */
export function readVar(folder: string): VarState {
  const state = new Map<string, string>();
  const walk = (path: string): void => {
    for (const name of readdirSync(join(folder, path))) {
      const below = path === '' ? name : `${path}/${name}`;
      const stat = lstatSync(join(folder, below), { bigint: true });
      const kind = stat.isSymbolicLink() ? readlinkSync(join(folder, below)) : '';
      const content = stat.isDirectory() ? '' : `${stat.size} ${stat.mtimeNs} ${stat.ino}`;
      state.set(below, `${stat.mode} ${stat.uid} ${stat.gid} ${kind} ${content}`);
      if (stat.isDirectory()) walk(below);
    }
  };
  walk('');
  return state;
}

/** A move from the captured /var to the upper directory, to be done when nothing is mounted any more. */
export interface VarMove {
  from: string;
  to: string;
}

/**
 * Turns what packages wrote to /var into what makes it on a host: tmpfiles.d lines and files of the factory; what they
 * put below /opt and /usr/local goes below /usr, with links to it.
 */
export function settleVar(space: LayerSpace, before: VarState): VarMove[] {
  const { root } = space;
  const after = readVar(space.var);
  const declared = declaredPaths(root);
  const moves: VarMove[] = [];
  const lines: string[] = [];
  const known = new Set<string>();
  for (const [path, state] of after) {
    if (before.get(path) === state) known.add(`/var/${path}`);
    const folder = HOST_FOLDERS.find(({ inVar }) => path.startsWith(`${inVar}/`));
    if (folder === undefined || before.has(path)) continue;
    known.add(`/var/${path}`);
    const stat = lstatSync(join(space.var, path));
    const rest = path.slice(folder.inVar.length + 1);
    const mode = (stat.mode & 0o7777).toString(8).padStart(4, '0');
    if (folder.whole ? rest.includes('/') : false) continue;
    if (stat.isDirectory() && !folder.whole) lines.push(`d ${escapePath(`/var/${path}`)} ${mode} - - - -`);
    else {
      const target = `${folder.inTree}/${rest}`;
      const parent = folderInTree(root, dirname(target));
      // One that the base has comes into the upper directory by being changed, and the move needs it there.
      chmodSync(parent, lstatSync(parent).mode & 0o7777);
      moves.push({ from: path, to: target });
      lines.push(
        `L ${escapePath(`/var/${path}`)} - - - - ${escapePath(posix.relative(posix.dirname(`/var/${path}`), `/${target}`))}`,
      );
    }
  }
  // What the base's own factory has in another state now.
  for (const [path, state] of after) {
    const was = before.get(path);
    if (was === undefined || was === state || !lstatSync(join(space.var, path)).isFile()) continue;
    const factory = inTree(root, `usr/share/factory/var/${path}`);
    const there = lstatSync(factory, { throwIfNoEntry: false });
    known.add(`/var/${path}`);
    if (!there?.isFile()) continue;
    const stat = lstatSync(join(space.var, path));
    copyFileSync(join(space.var, path), factory);
    chownSync(factory, stat.uid, stat.gid);
    chmodSync(factory, stat.mode & 0o7777);
  }
  lines.push(...varToTmpfiles(root, readAccounts(root), new Set([...declared, ...known])));
  if (lines.length > 0) {
    mkdirSync(inTree(root, 'usr/lib/tmpfiles.d'), { recursive: true });
    const text = ['# What layered packages have in /var, /opt and /usr/local.', ...lines];
    // Lines of packages come first, and the first line for a path is the one that counts.
    writeFileSync(inTree(root, 'usr/lib/tmpfiles.d/zz-atomic-layer.conf'), `${text.join('\n')}\n`);
  }
  return moves;
}
