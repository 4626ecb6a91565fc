import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FileLock, MNT, MS, mount, readMounts, umount } from '@atomic/linux';
import { AtomicError, type BeginOptions } from '@atomic/ostree';
import { asLocked } from '../locked.ts';
import type { ImageStore } from './image-store.ts';
import type { StoredImage } from './stored-image.ts';

export interface MountOptions extends Pick<BeginOptions, 'wait' | 'onWait' | 'signal'> {
  /** Folder of the state of containers. */
  state: string;
  /** Copy the files there instead. */
  copy?: boolean | undefined;
}

/**
 * Show the files of an image at an empty folder: read-only, without devices and privileges. Needs root, but for a copy.
 * Throws `not-found`, `exists` for a folder with something in it, `permission`.
 */
export async function mountImage(
  store: ImageStore,
  image: StoredImage,
  folder: string,
  { state, copy, wait, onWait, signal }: MountOptions,
): Promise<{ path: string }> {
  const root = process.getuid?.() === 0;
  if (copy === true) {
    const path = emptyFolder(folder);
    await copyTo(store, image, path, !root, signal);
    return { path };
  }
  if (!root)
    throw new AtomicError('permission', 'only root may mount', { hint: 'atomic mount --copy writes the files there' });
  // Until it is mounted, a tree is one that nobody needs.
  using _lock = await lockMounts(state, { wait, onWait, signal });
  const path = emptyFolder(folder);
  sweep(state);
  const place = placeOf(state, path);
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place, { recursive: true, mode: 0o700 });
  // Written first: whoever finds it after a crash knows whose it was.
  writeFileSync(join(place, 'target'), path);
  try {
    const tree = join(place, 'rootfs');
    await store.checkout(image, tree, { user: true, signal });
    mount(tree, path, null, MS.BIND);
    mount(tree, path, null, MS.BIND | MS.REMOUNT | MS.RDONLY | MS.NODEV | MS.NOSUID);
  } catch (error) {
    if (isMounted(path)) umount(path, MNT.DETACH);
    rmSync(place, { recursive: true, force: true });
    throw error;
  }
  return { path };
}

/** Ends what {@link mountImage} began. Throws `not-found` for a folder at which no image is. */
export async function unmountImage(folder: string, { state, ...options }: Omit<MountOptions, 'copy'>): Promise<void> {
  const path = realFolder(folder);
  const place = placeOf(state, path);
  if (statSync(place, { throwIfNoEntry: false }) === undefined)
    throw new AtomicError('not-found', `no image is mounted at ${path}`);
  using _lock = await lockMounts(state, options);
  if (isMounted(path)) umount(path);
  rmSync(place, { recursive: true, force: true });
}

/** Throws `locked` with `wait: false`. */
async function lockMounts(state: string, options: Pick<BeginOptions, 'wait' | 'onWait' | 'signal'>): Promise<FileLock> {
  const mounts = join(state, 'mounts');
  mkdirSync(mounts, { recursive: true, mode: 0o700 });
  try {
    return await FileLock.acquire(join(mounts, '.lock'), 'exclusive', options);
  } catch (error) {
    throw asLocked(error, 'mounting or unmounting an image');
  }
}

const placeOf = (state: string, path: string): string =>
  join(state, 'mounts', createHash('sha256').update(path).digest('hex').slice(0, 16));

async function copyTo(store: ImageStore, image: StoredImage, path: string, user: boolean, signal?: AbortSignal) {
  const { checkout } = await import('@atomic/ostree');
  await checkout(store.repo, image.commit, path, { subpath: '/rootfs', user, forceCopy: true, union: 'add', signal });
}

function realFolder(folder: string): string {
  try {
    return realpathSync(folder);
  } catch (cause) {
    throw new AtomicError('not-found', `there is no folder ${folder}`, { cause });
  }
}

function emptyFolder(folder: string): string {
  const path = realFolder(folder);
  if (!statSync(path).isDirectory()) throw new AtomicError('invalid', `${path} is no folder`);
  if (readdirSync(path).length > 0) throw new AtomicError('exists', `${path} is not empty`);
  return path;
}

/** Whether something is mounted right there. */
export const isMounted = (path: string): boolean => readMounts().some(({ point }) => point === path);

/** Removes what a restart of the machine left of mounts. */
function sweep(state: string): void {
  const mounts = join(state, 'mounts');
  for (const name of readdirSync(mounts)) {
    if (name.startsWith('.')) continue;
    const place = join(mounts, name);
    try {
      if (isMounted(readFileSync(join(place, 'target'), 'utf8'))) continue;
    } catch {
      // Cut off before it said whose it is.
    }
    rmSync(place, { recursive: true, force: true });
  }
}
