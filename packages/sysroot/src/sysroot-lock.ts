import { errnoCode, FileLock, LockedError } from '@atomic/linux';
import { AtomicError, type BeginOptions } from '@atomic/ostree';
import type { Sysroot } from './sysroot.ts';
import { activeTransaction, transactionRecord } from './transaction.ts';

/** Takes the lock of a sysroot and leaves word who has it; see {@link Sysroot.lock}. */
export async function takeLock(sysroot: Sysroot, options: BeginOptions): Promise<FileLock> {
  try {
    return await lockWithWord(sysroot.layout.lock, sysroot.title, options);
  } catch (error) {
    throw explain(sysroot.path, error);
  }
}

/**
 * Takes the lock of a file for `title` (see {@link activeTransaction}); let it go by {@link releaseLock}. Throws
 * `LockedError`, and errors of the file.
 */
export async function lockWithWord(path: string, title: string, options: BeginOptions): Promise<FileLock> {
  const onWait = (message: string) => options.onWait?.(whoHasIt(path) ?? message);
  for (;;) {
    const lock = await FileLock.acquire(path, 'exclusive', { ...options, onWait });
    // Stock removes the file as it lets go: who waited on that one holds nothing, and tries again.
    if (lock.current) {
      leaveWord(lock, transactionRecord(title));
      return lock;
    }
    lock[Symbol.dispose]();
  }
}

function whoHasIt(path: string): string | null {
  const { title = null, pid = null } = activeTransaction(path) ?? {};
  return title === null ? null : `waiting for '${title}' (process ${pid}) to finish`;
}

export function releaseLock(lock: FileLock): void {
  leaveWord(lock, '');
  lock[Symbol.dispose]();
}

/** For others to see, no more: a full disk is no reason not to clean it up. */
function leaveWord(lock: FileLock, text: string): void {
  try {
    lock.note(text);
  } catch (error) {
    if (errnoCode(error) === undefined) throw error;
  }
}

function explain(path: string, error: unknown): unknown {
  if (error instanceof LockedError) {
    return new AtomicError('locked', `${path}: another command is changing deployments (${error.message})`, {
      hint: 'see what it does: atomic host status; wait for it, or leave out --no-wait',
      cause: error,
    });
  }
  const code = errnoCode(error);
  if (code === 'EACCES' || code === 'EPERM') {
    return new AtomicError('permission', `cannot change ${path}: permission denied`, {
      hint: 'run as root',
      cause: error,
    });
  }
  if (code === 'EROFS') {
    return new AtomicError('permission', `cannot change ${path}: it is mounted read-only`, {
      hint: 'remount it first: mount -o remount,rw /sysroot',
      cause: error,
    });
  }
  return error;
}
