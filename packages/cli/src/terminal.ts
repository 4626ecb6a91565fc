import { fstatSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import type { Progress, ProgressEvent } from '@atomic/ostree';

/** Output is gathered and written in large pieces: `ls -R` of a real tree is tens of thousands of lines. */
const FLUSH_BYTES = 64 * 1024;
/** A live line changes at most this often, in milliseconds. */
const REDRAW_MS = 100;
/** Without a terminal, a long phase says how far it is this often, in milliseconds. */
const REPORT_MS = 15_000;

let pending: Uint8Array[] = [];
let pendingBytes = 0;
let flushScheduled = false;
/** Descriptors that nobody reads any more. */
const gone = new Set<1 | 2>();
let failure: Error | undefined;
let liveLine = false;

/**
 * Writes to a descriptor until all is out. Node's own streams would do, but loading them costs a start several
 * milliseconds, and on Linux they write synchronously to files, pipes and terminals all the same.
 */
function writeAll(fd: 1 | 2, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length && !gone.has(fd); ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      // `atomic … | head` closes our standard output; stock tools go on and end well, and so do we.
      if (code === 'EPIPE') gone.add(fd);
      // Somebody else who has the pipe made it non-blocking.
      else if (code === 'EAGAIN') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
      else if (code !== 'EINTR') {
        gone.add(fd);
        failure = new Error(`Writing output: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }
}

/** Its device number (major 1, minor 3) as stat(2) gives it, see the kernel's devices.txt. */
const DEV_NULL = 0x103;

/** Whether standard output (1) or standard error (2) is a terminal. */
export function isTerminal(fd: 1 | 2): boolean {
  // Cheaper than isatty, which needs Node's terminal streams (5 ms): most runs have a pipe, a file or /dev/null there.
  const stat = fstatSync(fd);
  return stat.isCharacterDevice() && stat.rdev !== DEV_NULL && isatty(fd);
}

/** Queues bytes for standard output. */
export function writeOut(data: string | Uint8Array): void {
  const bytes = typeof data === 'string' ? Buffer.from(data) : data;
  pending.push(bytes);
  pendingBytes += bytes.length;
  if (pendingBytes >= FLUSH_BYTES) flushOut();
  else if (!flushScheduled) {
    flushScheduled = true;
    setImmediate(flushOut);
  }
}

/** Hands everything queued to the operating system's pipe or terminal. */
export function flushOut(): void {
  flushScheduled = false;
  if (pendingBytes === 0) return;
  const bytes = Buffer.concat(pending);
  pending = [];
  pendingBytes = 0;
  clearLive();
  writeAll(1, bytes);
}

/** Ends what is being printed: no live line is left standing. Throws once when something could not be written. */
export function finishOutput(): void {
  flushOut();
  clearLive();
  const error = failure;
  failure = undefined;
  if (error !== undefined) throw error;
}

/** Writes one line to standard error, after what standard output was given before it. */
export function writeErr(line: string): void {
  flushOut();
  clearLive();
  writeAll(2, Buffer.from(`${line}\n`));
}

/** Whether standard error may be coloured: it is a terminal and NO_COLOR (no-color.org) is unset or empty. */
export function colour(): boolean {
  return isTerminal(2) && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb';
}

/** `error:` as stock tools write it: red and bold on a terminal. */
export function errorPrefix(): string {
  return colour() ? '\x1b[31m\x1b[1merror: \x1b[22m\x1b[0m' : 'error: ';
}

/** Bytes for people, in decimal units. */
export function formatBytes(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return unit === 0 ? `${bytes} bytes` : `${value.toFixed(1)} ${units[unit]}`;
}

function clearLive(): void {
  if (!liveLine) return;
  liveLine = false;
  writeAll(2, Buffer.from('\r\x1b[K'));
}

function counts(event: ProgressEvent): string {
  const parts: string[] = [];
  if (event.total !== undefined && event.total > 0) {
    const done = event.done ?? 0;
    parts.push(`${done}/${event.total} ${Math.floor((done * 100) / event.total)}%`);
  } else if (event.done !== undefined) parts.push(String(event.done));
  if (event.bytes !== undefined) {
    const of = event.totalBytes === undefined ? '' : ` of ${formatBytes(event.totalBytes)}`;
    parts.push(`${formatBytes(event.bytes)}${of}`);
  }
  return parts.join('  ');
}

/**
 * Shows the progress of an operation on standard error: on a terminal one live line, elsewhere (when `lines`) one line
 * for each phase and message, and for a long phase its counts from time to time.
 */
export function progressReporter(lines: boolean): Progress {
  let live: boolean | undefined;
  let phase = '';
  let message = '';
  let last = 0;
  return (event) => {
    const now = Date.now();
    live ??= isTerminal(2) && process.env['TERM'] !== 'dumb';
    const fresh = event.phase !== phase;
    if (live) {
      const finished = event.total !== undefined && event.done === event.total;
      if (!fresh && !finished && event.message === undefined && now - last < REDRAW_MS) return;
      phase = event.phase;
      last = now;
      const text = [event.phase, counts(event), event.message ?? ''].filter((part) => part !== '').join('  ');
      const line = [...text].slice(0, (process.stderr.columns ?? 80) - 1).join('');
      writeAll(2, Buffer.from(`\r\x1b[K${line}`));
      liveLine = true;
      return;
    }
    if (!lines) return;
    if (fresh) {
      phase = event.phase;
      message = '';
      last = now;
      writeErr(event.phase);
    }
    if (event.message !== undefined && event.message !== message) {
      message = event.message;
      writeErr(`  ${event.message}`);
    } else if (!fresh && now - last >= REPORT_MS) {
      last = now;
      const text = counts(event);
      if (text !== '') writeErr(`  ${text}`);
    }
  };
}
