import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** Trims a file system and says in one line what came of it: many cannot, and that is no error. */
export async function trimRoot(folder: string, signal?: AbortSignal): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)('fstrim', ['-v', folder], { signal });
    return stdout.trim().replace(/^.*?: /, '');
  } catch (error) {
    signal?.throwIfAborted();
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
    return said.replace(/^fstrim: .*?: /, '') || (error instanceof Error ? error.message : 'fstrim failed');
  }
}
