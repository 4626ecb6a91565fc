import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Repo } from '@atomic/ostree';
import { ImageStore } from './image-store.ts';

/** Where images are kept; every path can be moved. */
export interface StorePlace {
  /** Of root, or of a user. */
  user?: boolean | undefined;
  /** The system's own repository, taken when it is there and writable by us; by default /ostree/repo, none for users. */
  systemRepo?: string | undefined;
  /** Folder of the state of containers: /var/lib/atomic/containers, a user's below XDG_DATA_HOME. */
  state: string;
}

/** Where the store's repository is, and whether it is there. */
function placeOf({ user = false, systemRepo, state }: StorePlace): { path: string; there: boolean } {
  const system = systemRepo ?? (user ? undefined : '/ostree/repo');
  const is = (path: string): boolean => existsSync(join(path, 'config'));
  if (system !== undefined && is(system)) return { path: system, there: true };
  const path = join(state, 'repo');
  return { path, there: is(path) };
}

/** Open the image store as it is; undefined when nothing was ever stored. See {@link openImageStore}. */
export function findImageStore(place: StorePlace): ImageStore | undefined {
  const { path, there } = placeOf(place);
  return there ? new ImageStore(Repo.open(path)) : undefined;
}

/**
 * Open the image store, made where there is none. Root's is the system's own repository, so that images and the machine's
 * trees share their files; on a machine without one, and for users, a repository among the state.
 */
export function openImageStore(place: StorePlace): ImageStore {
  const { path, there } = placeOf(place);
  if (there) return new ImageStore(Repo.open(path));
  const user = place.user === true;
  mkdirSync(dirname(path), { recursive: true, mode: user ? 0o700 : 0o711 });
  return new ImageStore(Repo.create(path, { mode: user ? 'bare-user' : 'bare' }));
}
