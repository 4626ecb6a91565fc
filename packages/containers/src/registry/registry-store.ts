import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { FileLock } from '@atomic/linux';
import { type Repo, readRefFolder } from '@atomic/ostree';
import { BlobStore } from '../blobs/blob-store.ts';
import type { Uploads } from '../blobs/upload.ts';
import { Repository } from './repository.ts';

/** Below it lie the refs of what registries hold. */
const ROOT = 'container/registry';

/**
 * What a registry holds, in an ostree repository: every blob, manifest, tag and referrer of each name is a ref to the
 * commit of a blob. There is no other state, so that two servers, or a server and a command, can work on one at the same time.
 */
export class RegistryStore {
  readonly repo: Repo;
  readonly #blobs: BlobStore;
  readonly #folder: string;

  constructor(repo: Repo) {
    this.repo = repo;
    this.#blobs = new BlobStore(repo, ROOT);
    this.#folder = join(repo.path, 'extensions/atomic');
  }

  get uploads(): Uploads {
    return this.#blobs.uploads;
  }

  repository(name: string): Repository {
    return new Repository(this.#blobs, ROOT, name);
  }

  /** Names of the repositories in the order of their bytes, those after `after`. */
  *names(after?: string): Generator<string> {
    const all = [...this.#below('')].sort((a, b) => (a < b ? -1 : 1));
    for (const name of all) if (after === undefined || name > after) yield name;
  }

  *#below(name: string): Generator<string> {
    const children = readRefFolder(this.repo, name === '' ? ROOT : `${ROOT}/${name}`).filter(({ folder }) => folder);
    if (children.some((child) => child.name.startsWith('_'))) yield name;
    for (const child of children) {
      if (!child.name.startsWith('_')) yield* this.#below(name === '' ? child.name : `${name}/${child.name}`);
    }
  }

  /**
   * Held shared by whoever goes by what is here now (a manifest's blobs, a blob said to be here), and exclusively by
   * the garbage collection while it takes anything away.
   */
  guard(mode: 'shared' | 'exclusive', signal?: AbortSignal): Promise<FileLock> {
    mkdirSync(this.#folder, { recursive: true });
    return FileLock.acquire(join(this.#folder, 'registry.lock'), mode, { signal });
  }
}
