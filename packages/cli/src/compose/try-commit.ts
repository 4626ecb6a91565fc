import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { buildImage } from '@atomic/compose';
import { asArray, asString, type Checksum, type Progress, pullLocal, Repo } from '@atomic/ostree';
import { EMULATED_KARGS, Machine } from '@atomic/vm';

export interface TryOptions {
  /** where the machine's disk is made, and removed again */
  folder: string;
  /** of the disk, in bytes */
  size: number;
  /** from power on to the login */
  timeoutSeconds: number;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

/** Boots a commit in a machine made for it, up to its login. Throws what {@link buildImage} and the machine do. */
export async function tryCommit(repo: Repo, commit: Checksum, options: TryOptions): Promise<void> {
  const { signal, progress, timeoutSeconds } = options;
  const folder = mkdtempSync(join(options.folder, 'smoke-test-'));
  try {
    const out = join(folder, 'disk.qcow2');
    const own = repo.loadCommit(commit).metadata.get('atomic.kernel-arguments');
    const kargs = [...(own === undefined ? [] : asArray(own.value).map(asString)), ...EMULATED_KARGS];
    // Images are of branches, and no branch of the repository has the commit yet.
    const scratch = Repo.create(join(folder, 'repo'), { mode: repo.mode });
    await pullLocal(scratch, repo, { refs: [commit], signal });
    const bound = repo.loadCommit(commit).metadata.get('ostree.ref-binding');
    const ref = (bound === undefined ? [] : asArray(bound.value).map(asString))[0] ?? 'smoke-test';
    scratch.setRef(ref, commit);
    const image = { repo: scratch, ref, out, format: 'qcow2', size: options.size, os: 'smoke-test', kargs } as const;
    await buildImage({ ...image, signal, progress });
    progress?.({ phase: 'smoke test', message: 'booting the commit' });
    await using machine = await Machine.start({ disk: out, format: 'qcow2', memoryMiB: 1024, boot: 'loader', signal });
    await machine.waitFor(/login:/, { timeoutSeconds, signal });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
