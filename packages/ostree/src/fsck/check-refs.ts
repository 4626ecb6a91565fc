import type { Checksum } from '../objects/checksum.ts';
import type { Commit } from '../objects/commit.ts';
import { collectionBinding, refBinding, verifyBindings } from '../repo/bindings.ts';
import { deleteObject } from '../repo/delete-object.ts';
import { parseRefspec } from '../repo/ref-name.ts';
import { listCollectionRefs } from '../repo/refs.ts';
import type { Repo } from '../repo/repo.ts';
import { verifyObject } from '../repo/verify-object.ts';
import type { FsckEvent, FsckOptions, FsckProblem } from './fsck.ts';

const why = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** What is wrong with the refs and the commits they point to. */
export function* checkRefs(repo: Repo, options: FsckOptions, tell: (event: FsckEvent) => void): Generator<FsckProblem> {
  tell({ kind: 'refs' });
  for (const [refspec, checksum] of repo.listRefs()) {
    const { ref } = parseRefspec(refspec);
    yield* checkCommit(repo, { ref }, checksum, options);
  }
  tell({ kind: 'collections' });
  for (const { collectionId, ref, checksum } of listCollectionRefs(repo, { remotes: false })) {
    yield* checkCommit(repo, { collectionId, ref }, checksum, options);
  }
}

function* checkCommit(
  repo: Repo,
  named: { collectionId?: string; ref: string },
  checksum: Checksum,
  options: FsckOptions,
): Generator<FsckProblem> {
  const about = { type: 'commit' as const, checksum, commits: [] };
  const verdict = verifyObject(repo, 'commit', checksum);
  if (!(verdict instanceof Promise) && !verdict.ok) {
    if (verdict.missing) yield { ...about, kind: 'missing', message: `Object missing: ${checksum}.commit` };
    else {
      yield { ...about, kind: 'corrupt', message: verdict.message };
      if (options.delete) deleteObject(repo, 'commit', checksum);
    }
  }
  let commit: Commit;
  try {
    commit = repo.loadCommit(checksum);
  } catch (error) {
    const { collectionId, ref } = named;
    const shown = collectionId === undefined ? ref : `(${collectionId}, ${ref})`;
    yield { ...about, kind: 'ref', message: `Loading commit for ref ${shown}: ${why(error)}` };
    return;
  }
  if (!options.verifyBindings) return;
  try {
    verifyBindings(commit.metadata, named);
  } catch (error) {
    yield { ...about, kind: 'binding', message: `Commit ${checksum}: ${why(error)}` };
  }
}

/** What is wrong with the refs that a commit claims; null when they all point to it. */
export function checkBackRefs(repo: Repo, checksum: Checksum, commit: Commit): FsckProblem | null {
  const collectionId = collectionBinding(commit.metadata);
  const known = new Map(
    collectionId === undefined ? [] : listCollectionRefs(repo, { collectionId }).map((ref) => [ref.ref, ref.checksum]),
  );
  for (const ref of refBinding(commit.metadata) ?? []) {
    const target = collectionId === undefined ? repo.tryResolveRev(ref) : (known.get(ref) ?? null);
    if (target === checksum) continue;
    const shown = collectionId === undefined ? `Ref ‘${ref}’` : `Collection–ref (${collectionId}, ${ref})`;
    const fault = target === null ? 'does not exist' : 'does not resolve to that commit';
    const message = `${shown} in bindings for commit ${checksum} ${fault}`;
    return { kind: 'binding', type: 'commit', checksum, message, commits: [] };
  }
  return null;
}
