import type { Checksum } from '../objects/checksum.ts';
import { checksumBytes } from '../objects/checksum.ts';
import type { ObjectType } from '../objects/type.ts';
import { breather, type Progress } from '../progress.ts';
import { addReachable, type ObjectSet, objectKey } from '../repo/reachable.ts';
import type { Repo } from '../repo/repo.ts';
import { verifyContent } from '../repo/verify-content.ts';

export interface FsckProblem {
  type: ObjectType;
  checksum: Checksum;
  message: string;
}

export interface FsckResult {
  commits: number;
  /** Commits known to be incomplete (interrupted or partial pulls): not checked, not a fault. */
  partial: number;
  objects: number;
  problems: FsckProblem[];
}

/** Verifies every object that complete commits reach: present, readable, and of the checksum it is named for. */
export async function fsck(
  repo: Repo,
  options: { signal?: AbortSignal | undefined; progress?: Progress | undefined } = {},
): Promise<FsckResult> {
  const result: FsckResult = { commits: 0, partial: 0, objects: 0, problems: [] };
  const problem = (type: ObjectType, checksum: Checksum, message: string) => {
    result.problems.push({ type, checksum, message });
  };
  for (const [refspec, checksum] of repo.listRefs()) {
    if (!repo.hasObject('commit', checksum))
      problem('commit', checksum, `the ref ${refspec} points to a missing commit`);
  }
  const reachable: ObjectSet = new Set();
  const broken = new Set<string>();
  for (const { type, checksum } of repo.listObjects()) {
    if (type !== 'commit') continue;
    if (repo.commitState(checksum) === 'partial') {
      result.partial++;
      continue;
    }
    result.commits++;
    addReachable(repo, checksum, reachable, (kind, object, error) => {
      const key = objectKey(kind, object);
      if (!broken.has(key)) problem(kind, object, error instanceof Error ? error.message : String(error));
      broken.add(key);
    });
  }
  const pause = breather(options.signal);
  for (const key of reachable) {
    result.objects++;
    const turn = pause();
    if (turn !== undefined) {
      await turn;
      options.progress?.({ phase: 'fsck objects', done: result.objects, total: reachable.size });
    }
    if (broken.has(key)) continue;
    const checksum = key.slice(0, 64);
    const type = key.slice(65);
    try {
      if (type === 'file') await verifyContent(repo, checksum);
      else if (type === 'dirtree' || type === 'dirmeta' || type === 'commit') {
        const bytes = repo.loadObject(type, checksum);
        if (type === 'dirmeta') repo.loadDirMeta(checksum);
        const actual = checksumBytes(bytes);
        if (actual !== checksum) problem(type, checksum, `Corrupted object ${key}; actual checksum: ${actual}`);
      }
    } catch (error) {
      const kind: ObjectType = type === 'file' || type === 'dirtree' || type === 'dirmeta' ? type : 'commit';
      problem(kind, checksum, error instanceof Error ? error.message : String(error));
    }
  }
  options.progress?.({ phase: 'fsck objects', done: result.objects, total: reachable.size });
  return result;
}
