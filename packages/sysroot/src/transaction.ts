import { readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { kernelLocks } from '@atomic/linux';
import { AtomicError } from '@atomic/ostree';

/**
 * Who changes deployments now. The holder of ostree/lock writes its record into that file (stock never reads it); a
 * record outlives a killed process, so it counts only while the kernel says the lock is held and while that very
 * process, told by its start time, lives.
 */
export interface Transaction {
  /** What it does, as its command line says; null for a program that leaves no record (stock's). */
  title: string | null;
  /** Null where we may not see who holds the lock. */
  pid: number | null;
  /** Unix milliseconds; null as for `title`. */
  started: number | null;
}

/** When a process began, in clock ticks since boot (field 22 of /proc/PID/stat, proc(5)); null when it is gone. */
function startTicks(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name before may hold spaces and parentheses.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}

/** The record a process leaves in the lock file that it holds. */
export function transactionRecord(title: string): string {
  return `${JSON.stringify({ pid: process.pid, ticks: startTicks(process.pid), title, started: Date.now() })}\n`;
}

function parseRecord(text: string): { pid: number; ticks: string; title: string; started: number } | null {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) return null;
    if (!('pid' in value && 'ticks' in value && 'title' in value && 'started' in value)) return null;
    const { pid, ticks, title, started } = value;
    if (typeof pid !== 'number' || !Number.isSafeInteger(pid) || pid <= 1 || typeof ticks !== 'string') return null;
    if (typeof title !== 'string' || typeof started !== 'number') return null;
    return { pid, ticks, title: title.slice(0, 4096), started };
  } catch {
    return null;
  }
}

interface LockFile {
  path: string;
  dev: number;
  ino: number;
}

/** Whether the kernel lists a write lock on the file: 'maybe' for one with that inode number on another device. */
function kernelSays({ dev, ino }: LockFile, locks: string): 'held' | 'maybe' | 'free' {
  const major = ((dev / 0x1000) & 0xfffff000) | ((dev >>> 8) & 0xfff);
  const minor = ((dev >>> 12) & 0xffffff00) | (dev & 0xff);
  const hex = (n: number) => n.toString(16).padStart(2, '0');
  let answer: 'maybe' | 'free' = 'free';
  for (const line of locks.split('\n')) {
    const fields = line.trim().split(/\s+/);
    // Those who wait are listed beneath the holder with an arrow.
    if (fields[1] === '->' || fields[3] !== 'WRITE') continue;
    const id = fields[5] ?? '';
    if (!id.endsWith(`:${ino}`)) continue;
    if (id === `${hex(major)}:${hex(minor)}:${ino}`) return 'held';
    answer = 'maybe';
  }
  return answer;
}

/** Whoever has the lock through an open file of theirs; as root all processes can be asked. */
function searchHolder(lock: LockFile): number | null {
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      for (const fd of readdirSync(`/proc/${pid}/fd`)) {
        if (readlinkSync(`/proc/${pid}/fd/${fd}`) !== lock.path) continue;
        if (/^lock:.*WRITE/m.test(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'latin1'))) return Number(pid);
      }
    } catch {
      // Gone meanwhile, or not ours to look into.
    }
  }
  return null;
}

/**
 * Who changes the deployments of the sysroot with this lock file; null when nobody does. Needs no privileges. `locks`: the
 * kernel's list, when it was read already.
 */
export function activeTransaction(lockPath: string, locks?: string): Transaction | null {
  const stat = statSync(lockPath, { throwIfNoEntry: false });
  if (stat === undefined) return null;
  const lock: LockFile = { path: realpathSync(lockPath), dev: stat.dev, ino: stat.ino };
  const said = kernelSays(lock, locks ?? kernelLocks());
  if (said === 'free') return null;
  let text = '';
  try {
    text = readFileSync(lockPath, 'utf8');
  } catch {
    // It is its owner's to read; that it is held can be told without.
  }
  const record = parseRecord(text);
  if (record !== null && startTicks(record.pid) === record.ticks) {
    return { title: record.title, pid: record.pid, started: record.started };
  }
  const pid = searchHolder(lock);
  // Some file systems (btrfs) lock by another device number than stat(2) gives: there, who holds it must be known.
  return pid === null && said === 'maybe' ? null : { title: null, pid, started: null };
}

export interface CancelOptions {
  /** How long the other process may take to undo what it began, in seconds (60). */
  timeoutSeconds?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Told once it has been asked to end. */
  onCancel?: ((transaction: Transaction) => void) | undefined;
}

const POLL_MS = 50;

/**
 * Asks whoever changes deployments to end (SIGTERM: it undoes what it began, or, past the point of no return, finishes)
 * and waits until the lock is free. Returns what was ended, null when nobody was at work. Throws `permission`, `failed`
 * (a program that is not ours and cannot be asked, or one that goes on).
 */
export async function cancelTransaction(lockPath: string, options: CancelOptions = {}): Promise<Transaction | null> {
  const transaction = activeTransaction(lockPath);
  if (transaction === null) return null;
  const { pid, title } = transaction;
  if (pid === null || title === null) {
    const who = pid === null ? 'a program that cannot be seen from here' : `process ${pid} (${programName(pid)})`;
    throw new AtomicError('failed', `the lock is held by ${who}, which is none of ours to cancel`, {
      hint: pid === null ? 'run as root to see it' : `end it in its own way, or: kill ${pid}`,
    });
  }
  try {
    process.kill(pid, 'SIGTERM');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EPERM') {
      throw new AtomicError('permission', `process ${pid} is not yours to end`, { hint: 'run as root', cause: error });
    }
    // Gone already.
  }
  options.onCancel?.(transaction);
  const patience = (options.timeoutSeconds ?? 60) * 1000;
  const began = Date.now();
  while (activeTransaction(lockPath)?.pid === pid) {
    if (Date.now() - began >= patience) {
      throw new AtomicError(
        'failed',
        `process ${pid} (${title}) still works ${patience / 1000} s after it was asked to end`,
        {
          hint: `what it leaves is cleaned up by the next command: kill -9 ${pid}`,
        },
      );
    }
    await sleep(POLL_MS, undefined, options.signal === undefined ? {} : { signal: options.signal });
  }
  return transaction;
}

function programName(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return 'gone meanwhile';
  }
}
