import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { AtomicError } from '@atomic/ostree';

export interface RunOptions {
  input?: string | undefined;
  env?: Record<string, string> | undefined;
  cwd?: string | undefined;
  signal?: AbortSignal | undefined;
  /** called with the process's number */
  onStart?: ((pid: number) => void) | undefined;
  /** standard output is not kept, which may then be of any length */
  discardOutput?: boolean | undefined;
  /** called with each line of standard output and standard error */
  onLine?: ((line: string) => void) | undefined;
  /** turns a failed command's output into the error to throw; undefined: the common one */
  explain?: ((output: string, code: number | null) => AtomicError | undefined) | undefined;
}

const KEEP = 256 * 1024;
/** Of standard output, in characters. */
const KEEP_OUTPUT = 32 * 1024 * 1024;

/**
 * Runs a program in a process group of its own and waits for it; returns its standard output.
 * An abort kills the whole group, waits until it is gone, and throws AtomicError 'aborted'.
 * Throws 'not-found' when there is no such program, 'failed' with the output's end when it fails, and when it says more
 * than 32 MiB that were not to be discarded.
 */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { signal, onLine } = options;
  if (signal?.aborted) throw new AtomicError('aborted', `interrupted before ${command} was started`);
  return await new Promise<string>((resolve, reject) => {
    const child = start(command, args, options);
    if (child.pid !== undefined) options.onStart?.(child.pid);
    let out = '';
    let all = '';
    const follow = (stream: Readable | null, keep: boolean): void => {
      let rest = '';
      // By characters: their bytes may come in two parts.
      stream?.setEncoding('utf8').on('data', (text: string) => {
        all = (all + text).slice(-KEEP);
        if (keep && out.length <= KEEP_OUTPUT) {
          out += text;
          if (out.length > KEEP_OUTPUT) kill();
        }
        if (onLine === undefined) return;
        const lines = (rest + text).split('\n');
        rest = (lines.pop() ?? '').slice(-KEEP);
        for (const line of lines) onLine(line);
      });
      stream?.once('end', () => {
        if (rest !== '') onLine?.(rest);
      });
    };
    follow(child.stdout, options.discardOutput !== true);
    follow(child.stderr, false);
    child.stdin?.on('error', () => {});
    child.stdin?.end(options.input);
    const kill = (): void => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // gone already
      }
    };
    signal?.addEventListener('abort', kill, { once: true });
    child.once('error', (error: NodeJS.ErrnoException) => {
      signal?.removeEventListener('abort', kill);
      if (error.code === 'ENOENT') {
        reject(
          new AtomicError('not-found', `cannot run ${command}: it is not installed`, {
            hint: `install ${packageOf(command)} on this machine`,
          }),
        );
      } else reject(cannotRun(command, error));
    });
    child.once('close', (code, killedBy) => {
      signal?.removeEventListener('abort', kill);
      if (signal?.aborted) reject(new AtomicError('aborted', `interrupted while ${command} was running`));
      else if (out.length > KEEP_OUTPUT) reject(new AtomicError('failed', `${command} said more than 32 MiB`));
      else if (code === 0) resolve(out);
      else reject(options.explain?.(all, code) ?? failure(command, all, code, killedBy));
    });
  });
}

function start(command: string, args: readonly string[], options: RunOptions): ChildProcess {
  try {
    // Its own group: a Ctrl-C at the terminal reaches us alone, and we end the group in order.
    return spawn(command, args, {
      detached: true,
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: options.env ?? { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' },
    });
  } catch (error) {
    // Such as arguments longer than the kernel takes.
    throw cannotRun(command, error);
  }
}

const cannotRun = (command: string, cause: unknown): AtomicError =>
  new AtomicError('failed', `cannot run ${command}: ${cause instanceof Error ? cause.message : cause}`, { cause });

function packageOf(command: string): string {
  return command === 'bwrap' ? 'bubblewrap' : command === 'apt-get' ? 'apt' : command;
}

function failure(command: string, output: string, code: number | null, signal: NodeJS.Signals | null): AtomicError {
  const tail = output.trim().split('\n').slice(-3).join(' | ');
  const how = code === null ? `was killed by ${signal}` : `failed with status ${code}`;
  return new AtomicError('failed', `${command} ${how}${tail === '' ? '' : `: ${tail}`}`);
}
