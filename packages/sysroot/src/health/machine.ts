import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { Repo } from '@atomic/ostree';

/** How a program ended. */
export type Ran =
  | { kind: 'exited'; code: number; output: string }
  | { kind: 'killed'; signal: string; output: string }
  | { kind: 'timed-out'; output: string }
  | { kind: 'not-started'; why: string };

/** What checks ask of the machine; tests give their own. */
export interface CheckedMachine {
  run(program: string, args: readonly string[], limits: RunLimits): Promise<Ran>;
  /** Whether the server of a remote answers; throws with the reason when it does not. */
  reach(repo: Repo, remote: string, seconds: number): Promise<void>;
  /** Whether a container engine answers on a socket. */
  ping(socket: string, seconds: number): Promise<boolean>;
  /** Seconds that only grow. */
  clock(): number;
  sleep(seconds: number): Promise<void>;
  /** What this boot is called (boot_id). */
  bootId(): string;
  now(): Date;
}

/** What a program may take. */
export interface RunLimits {
  seconds: number;
  /** Characters kept of its output, of the beginning and mostly of the end (4000). */
  characters?: number | undefined;
}

/** Output in a bounded space, however much a program prints. */
class Bounded {
  readonly #most: { head: number; tail: number };
  #head = '';
  #tail = '';
  #dropped = 0;

  constructor(characters: number) {
    const head = Math.floor(characters / 4);
    this.#most = { head, tail: characters - head };
  }

  add(text: string): void {
    const room = this.#most.head - this.#head.length;
    if (room > 0) this.#head += text.slice(0, room);
    const rest = this.#tail + text.slice(Math.max(0, room));
    this.#dropped += Math.max(0, rest.length - this.#most.tail);
    this.#tail = rest.slice(-this.#most.tail);
  }

  toString(): string {
    const gap = this.#dropped === 0 ? '' : `\n[${this.#dropped} characters left out]\n`;
    // Terminals and JSON readers get no control characters but tabs and ends of lines.
    return `${this.#head}${gap}${this.#tail}`.replace(/[^\t\n\x20-\x7e\u00a0-\uffff]/g, '').trim();
  }
}

/** Runs a program with all its children, within limits; when time is up they are killed. Never throws. */
export async function runBounded(program: string, args: readonly string[], limits: RunLimits): Promise<Ran> {
  const output = new Bounded(limits.characters ?? 4000);
  return await new Promise((done) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true, cwd: '/' });
    const kill = () => {
      try {
        // The group: what a script started must not outlive it.
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // gone already
      }
    };
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      kill();
    }, limits.seconds * 1000);
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => output.add(text));
      stream.on('error', () => {});
    }
    const end = (result: () => Ran) => {
      clearTimeout(timer);
      kill();
      child.stdout.destroy();
      child.stderr.destroy();
      done(result());
    };
    child.once('error', (error) => end(() => ({ kind: 'not-started', why: error.message })));
    // Not 'close': a daemon that a script leaves behind holds the pipe open.
    child.once('exit', (code, signal) => {
      setTimeout(
        () =>
          end(() => {
            if (late) return { kind: 'timed-out', output: String(output) };
            if (code === null) return { kind: 'killed', signal: signal ?? 'a signal', output: String(output) };
            return { kind: 'exited', code, output: String(output) };
          }),
        20,
      );
    });
  });
}

/** A repository without a summary, or one whose signature is wrong, has answered too: only the network is asked about. */
async function reach(repo: Repo, remote: string, seconds: number): Promise<void> {
  const { AtomicError, fetchSummary } = await import('@atomic/ostree');
  try {
    await fetchSummary(repo, remote, {
      retries: 0,
      retryDelay: 0,
      stallSeconds: seconds,
      cacheDir: null,
      signal: AbortSignal.timeout(seconds * 1000),
    });
  } catch (error) {
    if (error instanceof AtomicError && error.code !== 'network' && error.code !== 'not-found') return;
    throw error;
  }
}

async function ping(socket: string, seconds: number): Promise<boolean> {
  const { request } = await import('node:http');
  return await new Promise((done) => {
    const asked = request({ socketPath: socket, path: '/_ping', timeout: seconds * 1000 }, (answer) => {
      answer.resume();
      done(answer.statusCode === 200);
    });
    const timer = setTimeout(() => asked.destroy(new Error('no answer')), seconds * 1000);
    asked.once('error', () => done(false)).once('close', () => clearTimeout(timer));
    asked.end();
  });
}

/** The machine this runs on. */
export const thisMachine: CheckedMachine = {
  run: runBounded,
  reach,
  ping,
  // Since the boot, so that two processes mean the same.
  clock: () => Number(process.hrtime.bigint()) / 1e9,
  sleep: (seconds) => pause(seconds * 1000),
  bootId: () => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
  now: () => new Date(),
};
