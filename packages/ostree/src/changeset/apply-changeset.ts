import { renameSync, rmSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { type CommitOptions, type CommitResult, commitTree, type TreeSource } from '../commit/commit.ts';
import type { Repo } from '../repo/repo.ts';
import type { Change } from './change.ts';
import type { PathMap } from './lay-changes.ts';
import { readLayer } from './read-layer.ts';
import { readUpper, type UpperOptions } from './read-upper.ts';

/** An OCI layer, packed or not: a file, or its bytes. */
export type LayerSource = string | AsyncIterable<Uint8Array>;

/**
 * What changes a tree: an overlay's upper directory, OCI layers, or changes from anywhere. Of several, each is laid over
 * what those before it made: what it removes may be theirs.
 */
export type ChangesetSource =
  | { upper: string; layer?: never; changes?: never }
  | { layer: LayerSource | readonly LayerSource[]; upper?: never; changes?: never }
  | { changes: AsyncIterable<Change> | readonly AsyncIterable<Change>[]; upper?: never; layer?: never };

export type ApplyChangesetOptions = ChangesetSource &
  Omit<CommitOptions, 'trees' | 'base' | 'tar'> &
  Omit<UpperOptions, 'signal'> & {
    /** The commit to change: any revision of the repository. Without one, an empty tree. */
    base?: string | undefined;
    /** What a path of the changeset becomes in the tree, or null to leave it (and what is in it) out. */
    map?: PathMap | undefined;
  };

/**
 * Commits `base` with a changeset laid over it, at a cost that follows the changeset: directories it does not touch are
 * taken by reference. Options are those of {@link commitTree}; those that change entries apply to what the changeset
 * brings. With `consume` an upper directory's new files are moved into a bare repository on the same file system, and
 * the directory is gone afterwards. Throws `invalid` for a changeset that does not fit the base or what no tree holds.
 */
export async function applyChangeset(repo: Repo, options: ApplyChangesetOptions): Promise<CommitResult> {
  const { upper, layer, changes, map, userxattr, onSpecial, ...rest } = options;
  const { signal } = options;
  const sources = (): AsyncIterable<Change>[] => {
    if (upper !== undefined) return [readUpper(upper, { userxattr, onSpecial, signal })];
    if (layer !== undefined) return [layer].flat().map((one) => readLayer(one, { onSpecial, signal }));
    return changes === undefined ? [] : [changes].flat();
  };
  const trees: TreeSource[] = sources().map((one) => ({ changes: one, map }));
  // Remembering every file of a machine costs more to load than a small changeset does to read.
  const result = await commitTree(repo, { cache: false, ...rest, trees });
  if (options.consume && upper !== undefined) remove(upper);
  return result;
}

/** Cut short, this leaves the directory or none under its name, never a part of it that could be taken for a changeset. */
function remove(upper: string): void {
  const path = resolve(upper);
  const aside = join(dirname(path), `.${basename(path)}.applied`);
  rmSync(aside, { recursive: true, force: true });
  renameSync(path, aside);
  rmSync(aside, { recursive: true, force: true });
}
