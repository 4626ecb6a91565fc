import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { AtomicError } from '@atomic/ostree';

const SYSTEM_PATH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** Where a system tool lies, or null. Administrators' folders are searched too: root's PATH often lacks them. */
export function findTool(name: string): string | null {
  for (const folder of SYSTEM_PATH) {
    const path = `${folder}/${name}`;
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // look further
    }
  }
  return null;
}

/** The tool's path, or an AtomicError 'unsupported' naming the Debian package that has it. */
export function requireTool(name: string, debianPackage: string): string {
  const path = findTool(name);
  if (path === null)
    throw new AtomicError('unsupported', `${name} is not installed`, { hint: `apt-get install ${debianPackage}` });
  return path;
}

/** Run a program to its end and return its standard output. Throws AtomicError with its last words when it fails. */
export function capture(program: string, args: string[], options: { signal?: AbortSignal | undefined } = {}) {
  return new Promise<Buffer>((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const out: Buffer[] = [];
    let errors = '';
    const stop = () => child.kill('SIGKILL');
    options.signal?.addEventListener('abort', stop);
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => {
      errors = (errors + chunk.toString()).slice(-2000);
    });
    child.on('error', reject);
    child.on('close', (code, killedBy) => {
      options.signal?.removeEventListener('abort', stop);
      if (options.signal?.aborted) reject(options.signal.reason);
      else if (code === 0) resolve(Buffer.concat(out));
      else {
        const why = errors.trim().split('\n').at(-1) || `status ${code ?? killedBy}`;
        reject(new AtomicError('failed', `${program} ${args.join(' ')} failed: ${why}`));
      }
    });
  });
}
