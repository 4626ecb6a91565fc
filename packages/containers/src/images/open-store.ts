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

/**
 * Open the image store, made where there is none. Root's is the system's own repository, so that images and the machine's
 * trees share their files; on a machine without one, and for users, a repository among the state.
 */
export function openImageStore(place: StorePlace): ImageStore {
  const { user = false, systemRepo = user ? undefined : '/ostree/repo', state } = place;
  if (systemRepo !== undefined && existsSync(join(systemRepo, 'config'))) return new ImageStore(Repo.open(systemRepo));
  const path = join(state, 'repo');
  if (!existsSync(join(path, 'config'))) {
    mkdirSync(dirname(path), { recursive: true, mode: user ? 0o700 : 0o711 });
    return new ImageStore(Repo.create(path, { mode: user ? 'bare-user' : 'bare' }));
  }
  return new ImageStore(Repo.open(path));
}
