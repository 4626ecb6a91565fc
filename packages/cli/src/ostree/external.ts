import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { constants as os } from 'node:os';
import { join } from 'node:path';
import { errorPrefix, writeErr } from '../terminal.ts';

/** Where libostree's packages put commands of their own. */
const LIBEXEC = '/usr/libexec/libostree/ext';

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** The program `ostree-VERB` that runs an unknown command, or null. */
export function findExternal(verb: string): string | null {
  // A verb with a slash would be looked up outside of these folders.
  if (verb.includes('/')) return null;
  const folders = [LIBEXEC, ...(process.env['PATH'] ?? '').split(':').map((folder) => folder || '.')];
  return folders.map((folder) => join(folder, `ostree-${verb}`)).find(isProgram) ?? null;
}

/**
 * Runs it with the same arguments, its own verb among them as stock passes it, and resolves to its exit status. A child
 * and not exec: Node ignores SIGPIPE, and exec would pass that on.
 */
export function runExternal(program: string, argv: readonly string[]): Promise<number> {
  return new Promise((resolve) => {
    const child = spawn(program, argv, { stdio: 'inherit' });
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => child.kill(name));
    child.on('error', (error) => {
      writeErr(`${errorPrefix()}Executing ${program}: ${error.message}`);
      resolve(1);
    });
    child.on('close', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : os.signals[signal])));
  });
}
