import { chownSync, lstatSync, mkdirSync, readdirSync, renameSync, rmdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { syncfs, withFd } from '@atomic/linux';
import { AtomicError, checkout, pathNames, type Repo } from '@atomic/ostree';
import { rootOf, type StoredImage } from '../../images/stored-image.ts';

/** The folder of a volume among the state of containers. Throws `invalid` for what cannot be a name. */
export function volumeFolder(state: string, name: string): string {
  if (/^[A-Za-z0-9][\w.-]{0,254}$/.test(name)) return join(state, 'volumes', name);
  throw new AtomicError('invalid', `'${name}' cannot be the name of a volume`);
}

/** Where a volume is made: one that a power cut left half made or half filled would stay so. */
const asideOf = (folder: string): string => join(dirname(folder), `.${basename(folder)}.new`);

/** Makes a volume where there is none; returns its folder. An owner is given to a new one only. */
export function makeVolume(state: string, name: string, owner: { uid: number; gid: number }): string {
  const folder = volumeFolder(state, name);
  mkdirSync(dirname(folder), { recursive: true, mode: 0o711 });
  if (lstatSync(folder, { throwIfNoEntry: false }) !== undefined) return folder;
  const aside = asideOf(folder);
  rmSync(aside, { recursive: true, force: true });
  mkdirSync(aside, { mode: 0o755 });
  chownSync(aside, owner.uid, owner.gid);
  renameSync(aside, folder);
  return folder;
}

/**
 * Gives a new volume what the image has at its place, with owners and modes, as engines do; one that has anything in it
 * stays as it is. A volume that somebody was made the owner of keeps its owner.
 */
export async function fillVolume(
  repo: Repo,
  image: StoredImage,
  target: string,
  folder: string,
  signal?: AbortSignal,
): Promise<void> {
  const there = lstatSync(folder, { throwIfNoEntry: false });
  if (there !== undefined && readdirSync(folder).length > 0) return;
  if (!hasFolder(repo, image, target)) {
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    return;
  }
  const aside = asideOf(folder);
  rmSync(aside, { recursive: true, force: true });
  mkdirSync(dirname(folder), { recursive: true, mode: 0o711 });
  await checkout(repo, image.commit, aside, { subpath: join('/rootfs', target), forceCopy: true, signal });
  if (there !== undefined) {
    if (there.uid !== 0 || there.gid !== 0) chownSync(aside, there.uid, there.gid);
    rmdirSync(folder);
  }
  withFd(aside, syncfs);
  renameSync(aside, folder);
}

/** Whether an image has a folder there; one that is reached over a link does not count. */
function hasFolder(repo: Repo, image: StoredImage, path: string): boolean {
  let { tree } = rootOf(repo, image);
  for (const name of pathNames(path)) {
    const next = repo.loadDirTree(tree).dirs.find((dir) => dir.name === name);
    if (next === undefined) return false;
    tree = next.tree;
  }
  return true;
}
