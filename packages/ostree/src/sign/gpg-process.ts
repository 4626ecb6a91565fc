import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { errnoCode } from '@atomic/linux';
import { AtomicError } from '../error.ts';

/** What gpg may print before it is taken for mad. */
const MAX_OUTPUT = 64 * 1024 * 1024;

export interface GpgOutcome {
  code: number | null;
  stdout: Buffer;
  /** Last line of what it had to say, for messages. */
  complaint: string;
  /** The machine-readable status lines, without their `[GNUPG:]` (GnuPG's doc/DETAILS), split at spaces. */
  status: string[][];
}

/**
 * Runs the system's `gpg` or `gpgv`. Status lines come over a pipe of their own, so nothing in keys or signatures can
 * imitate them. Throws `unsupported` when the program is not installed, `aborted`.
 */
export async function runGpg(
  program: 'gpg' | 'gpgv',
  args: readonly string[],
  options: { input?: Uint8Array | undefined; signal?: AbortSignal | undefined } = {},
): Promise<GpgOutcome> {
  const common = program === 'gpg' ? ['--batch', '--no-tty', '--no-greeting'] : [];
  const child = spawn(program, [...common, '--status-fd', '3', ...args], {
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on('error', (error) => {
      if (options.signal?.aborted) reject(new AtomicError('aborted', 'interrupted', { cause: error }));
      else if (errnoCode(error) === 'ENOENT') {
        const message = `${program} is needed for OpenPGP signatures but is not installed`;
        reject(new AtomicError('unsupported', message, { hint: 'install the package gnupg', cause: error }));
      } else reject(error);
    });
    child.on('close', resolve);
  });
  // It may end before it has read everything; its verdict is in the status lines.
  child.stdin?.on('error', () => {});
  child.stdin?.end(options.input ?? '');
  const pipe = child.stdio[3];
  const outputs = Promise.all([
    collect(child.stdout),
    collect(child.stderr),
    collect(pipe !== undefined && pipe !== null && 'read' in pipe ? pipe : null),
  ]);
  // When it could not even be started, that is the error to report, not the broken pipes.
  outputs.catch(() => child.kill());
  const code = await ended;
  const [stdout, stderr, status] = await outputs;
  return {
    code,
    stdout,
    complaint: (stderr.toString().trimEnd().split('\n').at(-1) ?? '').replace(/^gpgv?: /, ''),
    status: status
      .toString()
      .split('\n')
      .flatMap((line) => (line.startsWith('[GNUPG:] ') ? [line.slice(9).split(' ')] : [])),
  };
}

async function collect(stream: Readable | null): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  if (stream === null) return Buffer.alloc(0);
  for await (const chunk of stream) {
    if (!Buffer.isBuffer(chunk)) continue;
    size += chunk.length;
    if (size > MAX_OUTPUT) throw new AtomicError('failed', 'gpg does not stop printing');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** A private folder for gpg to work in, gone when the work is done. */
export async function withGpgFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'ostree-gpg-'));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
