import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import { readMounts } from '@atomic/linux';
import { AtomicError } from '@atomic/ostree';
import { finish } from '../../context.ts';
import { isOstreeBooted } from './sysroot.ts';

const REMOUNT = `for path in $1; do mount -o remount,rw "$path" || exit; done; shift; exec "$@"`;

/**
 * Makes /sysroot and /boot of the running system writable for this command alone where they are mounted read-only: in a
 * mount namespace of its own, in which the command is run again (this process ends with its status). Does nothing on any
 * other disk, for anyone but root, and where nothing is read-only.
 */
export async function ensureWritable(root: string): Promise<void> {
  if (root !== '/' || process.getuid?.() !== 0 || !isOstreeBooted()) return;
  const mounts = readMounts();
  const paths = ['/sysroot', '/boot'].filter((path) => mounts.findLast(({ point }) => point === path)?.readOnly);
  if (paths.length === 0) return;
  if (readlinkSync('/proc/1/ns/mnt') !== readlinkSync('/proc/self/ns/mnt')) {
    // Somebody, such as systemd, has given us a namespace already.
    for (const path of paths) remount(path);
    return;
  }
  // Threads cannot leave a namespace one by one, so the whole program starts anew in the new one. Mounts made there on
  // purpose (unlock) are to be seen by all: propagation stays as it is.
  const command = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const child = spawn(
    'unshare',
    ['--mount', '--propagation', 'unchanged', '--', 'sh', '-c', REMOUNT, 'sh', paths.join(' '), ...command],
    { stdio: 'inherit' },
  );
  const [status]: unknown[] = await once(child, 'close').catch((error: unknown) => {
    throw new AtomicError('failed', 'Initializing with mountns: cannot run unshare', { cause: error });
  });
  await finish(typeof status === 'number' ? status : 1);
}

function remount(path: string): void {
  try {
    execFileSync('mount', ['-o', 'remount,rw', path], { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (error) {
    throw new AtomicError('permission', `Remounting ${path} read-write failed`, { cause: error });
  }
}
