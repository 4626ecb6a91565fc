import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { errnoCode, freeze, setImmutable, syncfsPath, thaw, withFd } from '@atomic/linux';
import { AtomicError } from '@atomic/ostree';

/** Points a symlink somewhere else by rename: a crash leaves the old or the new one. Not yet durable. */
export function replaceSymlink(target: string, path: string): void {
  const aside = `${path}.atomic-tmp`;
  rmSync(aside, { force: true });
  symlinkSync(target, aside);
  renameSync(aside, path);
}

/** Removes a deployment's tree; its root may carry the immutable flag, and its folders any mode. */
export function removeTree(path: string): void {
  try {
    withFd(path, (fd) => setImmutable(fd, false));
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return;
    if (errnoCode(error) !== 'EACCES') throw error;
  }
  try {
    rmSync(path, { recursive: true, force: true });
  } catch (error) {
    if (errnoCode(error) !== 'EACCES') throw error;
    openFolders(path);
    rmSync(path, { recursive: true, force: true });
  }
}

/** Lets the owner of a tree, who is not root, into all of its folders. */
function openFolders(path: string): void {
  chmodSync(path, 0o700);
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) openFolders(join(path, entry.name));
  }
}

/** Makes a folder anew, without what an interrupted run left in it. */
export function freshDirectory(path: string): void {
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { recursive: true, mode: 0o755 });
}

const GUARD = 'read -r done || fsfreeze --unfreeze "$0"';

/** Lets the guard of a freeze run as if we had been killed, with nothing frozen (OSTREE_SYSROOT_DEBUG=test-fifreeze). */
async function rehearseThaw(path: string): Promise<never> {
  const guard = spawn('sh', ['-c', `${GUARD} 2>/dev/null; echo 'fifreeze watchdog was run' >&2`, path], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  guard.stdin.end();
  await once(guard, 'close');
  throw new AtomicError('aborted', 'During fsfreeze-thaw: aborting due to test-fifreeze');
}

/**
 * Makes everything written to a file system durable, for boot loaders too: they read it without replaying its
 * journal, so syncfs is not enough; freezing empties the journal. Only a running system is frozen (`live`): on any
 * other the file system is unmounted before a boot loader looks at it.
 */
export async function flushForBoot(path: string, live: boolean, rehearse = false): Promise<void> {
  syncfsPath(path);
  if (rehearse) await rehearseThaw(path);
  if (!live) return;
  // A process killed between the two calls would leave the system frozen, so a child holds the other end of a pipe
  // and thaws when it closes without a word.
  const guard = spawn('sh', ['-c', GUARD, path], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  const gone = once(guard, 'close').catch(() => {});
  guard.stdin.on('error', () => {});
  try {
    withFd(path, (fd) => {
      freeze(fd);
      thaw(fd);
    });
  } catch (error) {
    // Not supported (overlay, tmpfs), not allowed (a container), or somebody else is freezing: the syncfs must do.
    if (!['EOPNOTSUPP', 'ENOTSUP', 'ENOSYS', 'ENOTTY', 'EPERM', 'EBUSY', 'EINVAL'].includes(errnoCode(error) ?? '')) {
      throw error;
    }
    syncfsPath(path);
  } finally {
    guard.stdin.end('done\n');
    await gone;
  }
}
