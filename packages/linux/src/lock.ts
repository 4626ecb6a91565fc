import { closeSync, constants, fstatSync, ftruncateSync, openSync, statSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { errnoCode } from './error.ts';
import { syscall } from './libc.ts';

const fcntlCall = syscall('fcntl', 'int fcntl(int fd, int command, _Inout_ void *lock)');

// linux/fcntl.h. Open-file-description locks are what libostree takes; flock(2) would not exclude it.
const F_OFD_SETLK = 37;
const lockType = { shared: 0, exclusive: 1, unlock: 2 } as const;
const SIZEOF_STRUCT_FLOCK = 32;

/** The lock is held by somebody else, and the caller did not want to wait (any longer). */
export class LockedError extends Error {
  readonly code = 'locked';
  readonly path: string;
  constructor(path: string, detail: string) {
    super(`${path} is locked by another process (${detail})`);
    this.name = 'LockedError';
    this.path = path;
  }
}

/**
 * Takes, converts or drops the OFD record lock on all of an open file, without blocking.
 * Returns false when another open file description holds a conflicting one.
 */
export function ofdLock(fd: number, mode: keyof typeof lockType): boolean {
  const lock = Buffer.alloc(SIZEOF_STRUCT_FLOCK); // l_whence, l_start, l_len = 0: the whole file
  lock.writeInt16LE(lockType[mode], 0);
  try {
    fcntlCall(`fd ${fd}`, fd, F_OFD_SETLK, lock);
    return true;
  } catch (error) {
    const code = errnoCode(error);
    if (code === 'EAGAIN' || code === 'EACCES') return false;
    throw error;
  }
}

export interface LockOptions {
  /** Wait for the holder (the default) or fail at once. */
  wait?: boolean | undefined;
  timeoutSeconds?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Told once, when the wait begins. */
  onWait?: ((message: string) => void) | undefined;
}

/** A held OFD lock on a file; disposing (or the death of the process) drops it. */
export class FileLock implements Disposable {
  readonly path: string;
  readonly mode: 'shared' | 'exclusive';
  #fd: number | null;

  private constructor(path: string, mode: 'shared' | 'exclusive', fd: number) {
    this.path = path;
    this.mode = mode;
    this.#fd = fd;
  }

  /**
   * Creates the lock file if need be and takes the lock, polling while another process holds it.
   * Throws {@link LockedError} when not waiting or after `timeoutSeconds`.
   */
  static async acquire(path: string, mode: 'shared' | 'exclusive', options: LockOptions = {}): Promise<FileLock> {
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o660);
    const started = Date.now();
    try {
      for (let told = false, pause = 10; !ofdLock(fd, mode); pause = Math.min(pause * 2, 250)) {
        if (options.wait === false) throw new LockedError(path, 'not waiting');
        const { timeoutSeconds } = options;
        if (timeoutSeconds !== undefined && Date.now() - started >= timeoutSeconds * 1000) {
          throw new LockedError(path, `gave up after ${timeoutSeconds} s`);
        }
        if (!told) options.onWait?.(`waiting for another process to release ${path}`);
        told = true;
        await sleep(pause, undefined, options.signal === undefined ? {} : { signal: options.signal });
      }
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    return new FileLock(path, mode, fd);
  }

  /** Takes the lock if it is free, else returns null. */
  static tryAcquire(path: string, mode: 'shared' | 'exclusive'): FileLock | null {
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o660);
    if (ofdLock(fd, mode)) return new FileLock(path, mode, fd);
    closeSync(fd);
    return null;
  }

  /**
   * Whether the path still names the file that is locked. Lock files that are removed are removed by who holds them; who
   * opened one before that and got the lock after it holds nothing.
   */
  get current(): boolean {
    if (this.#fd === null) return false;
    const held = fstatSync(this.#fd);
    const named = statSync(this.path, { throwIfNoEntry: false });
    return named !== undefined && named.dev === held.dev && named.ino === held.ino;
  }

  /** Writes into the locked file who holds it and why; readers must check that the lock is held. */
  note(text: string): void {
    if (this.#fd === null) return;
    ftruncateSync(this.#fd, 0);
    writeSync(this.#fd, text, 0);
  }

  [Symbol.dispose](): void {
    if (this.#fd === null) return;
    // Closing would do, were it not for forked children that share the description.
    ofdLock(this.#fd, 'unlock');
    closeSync(this.#fd);
    this.#fd = null;
  }
}
