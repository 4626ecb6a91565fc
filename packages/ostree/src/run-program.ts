import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { AtomicError } from './error.ts';

export interface RunProgramOptions {
  /** Working directory. */
  cwd?: string | undefined;
  /** Added to the environment. */
  env?: Record<string, string> | undefined;
  signal?: AbortSignal | undefined;
  /** Lets its output through to ours instead of keeping the end of it for the error message. */
  showOutput?: boolean | undefined;
}

/** What an error message takes of a program's complaints. */
const TAIL = 2000;

/** Runs one of the system's tools to its end. Throws `failed` with the end of what it said, `not-found` without it. */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: RunProgramOptions = {},
): Promise<void> {
  const variables = Object.entries(options.env ?? {}).map(([name, value]) => `${name}=${value}`);
  const line = variables.length === 0 ? [program, ...args] : ['env', ...variables, program, ...args];
  const [command = program, ...rest] = line;
  const child = spawn(command, rest, {
    cwd: options.cwd,
    signal: options.signal,
    stdio: ['ignore', options.showOutput ? 'inherit' : 'ignore', options.showOutput ? 'inherit' : 'pipe'],
  });
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-TAIL);
  });
  let status: unknown;
  let killedBy: unknown;
  try {
    [status, killedBy] = await once(child, 'close');
  } catch (error) {
    options.signal?.throwIfAborted();
    throw new AtomicError(
      'not-found',
      `cannot run ${program}: ${error instanceof Error ? error.message : String(error)}`,
      {
        hint: `install the package that has ${program}`,
        cause: error,
      },
    );
  }
  if (status === 0) return;
  const how = typeof killedBy === 'string' ? `killed by ${killedBy}` : `exited with code ${String(status)}`;
  // What a shell and env(1) say where there is no such program.
  const code = status === 127 ? 'not-found' : 'failed';
  throw new AtomicError(code, `${program}: Child process ${how}${said.trim() === '' ? '' : `: ${said.trim()}`}`);
}
