import { mkdirSync, readdirSync, statSync, symlinkSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { errnoCode } from '@atomic/linux';
import { AtomicError } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import type { Progress } from '../progress.ts';
import { pullLocal } from '../pull/local.ts';
import { type CollectionRef, listCollectionRefs } from '../repo/refs.ts';
import { type BeginOptions, Repo } from '../repo/repo.ts';
import { updateSummary } from '../summary/update-summary.ts';

/** Where a repository on a volume is looked for without a link to it. */
const STANDARD = ['.ostree/repo', 'ostree/repo'];

export interface CreateUsbOptions extends BeginOptions {
  /** Folder of the repository, below the mount point (`.ostree/repo`). */
  destination?: string | undefined;
  /** This commit instead of the ref's; for a single ref. */
  commit?: Checksum | undefined;
  /** False: do not wait for the volume to be written out. */
  fsync?: boolean | undefined;
  progress?: Progress | undefined;
}

/**
 * Copies refs of collections with their commits (no history) to an archive repository on a mounted volume, where
 * {@link findRemotes} finds it. Throws `usage` for a destination outside of the volume, `not-found` for a ref.
 */
export async function createUsb(
  source: Repo,
  mount: string,
  refs: readonly CollectionRef[],
  options: CreateUsbOptions = {},
): Promise<void> {
  const destination = options.destination ?? '.ostree/repo';
  const root = statSync(mount, { throwIfNoEntry: false });
  if (root?.isDirectory() !== true) throw new AtomicError('not-found', `opendir(${mount}): No such file or directory`);
  const path = resolve(mount, destination);
  const outside = () => new AtomicError('usage', '--destination-repo must be a descendent of MOUNT-PATH');
  if (relative(mount, path).split('/')[0] === '..') throw outside();
  mkdirSync(path, { recursive: true });
  const there = statSync(path);
  if (there.dev !== root.dev) throw outside();
  const here = statSync(source.path);
  if (there.dev === here.dev && there.ino === here.ino) {
    throw new AtomicError('usage', '--destination-repo must not be the source repository');
  }
  // Archive: file systems of removable media keep neither owners nor attributes.
  const repo = Repo.create(path, { mode: 'archive' });
  if (options.fsync === false) repo.config.set('core', 'fsync', 'false');
  const commits = refs.map((ref) => ({ ref, checksum: options.commit ?? lookup(source, ref) }));
  const { signal, progress, wait, onWait } = options;
  await pullLocal(repo, source, {
    refs: [...new Set(commits.map(({ checksum }) => checksum))],
    signal,
    progress,
    wait,
    onWait,
  });
  for (const { ref, checksum } of commits) repo.setRef(ref, checksum);
  await updateSummary(repo, { signal, wait, onWait });
  const place = relative(mount, path);
  if (!STANDARD.includes(place)) link(mount, place);
}

function lookup(repo: Repo, wanted: CollectionRef): Checksum {
  const found = listCollectionRefs(repo, { collectionId: wanted.collectionId }).find(({ ref }) => ref === wanted.ref);
  if (found !== undefined) return found.checksum;
  throw new AtomicError('not-found', `Collection–ref (${wanted.collectionId}, ${wanted.ref}) not found`);
}

/** Makes `.ostree/repos.d/NN-generated` lead to the repository, unless something there does already. */
function link(mount: string, destination: string): void {
  const folder = join(mount, '.ostree/repos.d');
  mkdirSync(folder, { recursive: true });
  const { dev, ino } = statSync(resolve(mount, destination));
  for (const name of readdirSync(folder)) {
    const stat = statSync(join(folder, name), { throwIfNoEntry: false });
    if (stat !== undefined && stat.dev === dev && stat.ino === ino) return;
  }
  for (let i = 0; i < 100; i++) {
    try {
      symlinkSync(join('../..', destination), join(folder, `${String(i).padStart(2, '0')}-generated`));
      return;
    } catch (error) {
      if (errnoCode(error) !== 'EEXIST') throw error;
    }
  }
  throw new AtomicError('failed', 'Could not find an unused symlink name for the repository');
}
