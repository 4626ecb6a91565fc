import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import type { Reporter } from './report.ts';

/** The checkout. */
export const ROOT = resolve(dirname(import.meta.filename), '..');

export interface HostOptions {
  reporter: Reporter;
  signal?: AbortSignal | undefined;
  /** Show the commands' own progress (it goes to standard error). */
  progress: boolean;
}

/** Run one of the checkout's commands as a person would; its standard output. Throws with its last words. */
export function command(name: 'atomic' | 'ostree', args: string[], options: HostOptions): Promise<string> {
  options.signal?.throwIfAborted();
  options.reporter.command('host', [`bin/${name}`, ...args.map((arg) => shorten(arg))].join(' '));
  return new Promise((done, fail) => {
    // On a terminal the command draws its progress itself; elsewhere hundreds of lines of it would help nobody.
    const live = options.progress && process.stderr.isTTY;
    const quiet = live || name !== 'atomic' ? [] : ['--quiet'];
    const child = spawn(join(ROOT, 'bin', name), [...quiet, ...args], {
      stdio: ['ignore', 'pipe', live ? 'inherit' : 'pipe'],
      cwd: ROOT,
    });
    let output = '';
    let errors = '';
    const stop = () => child.kill('SIGTERM');
    options.signal?.addEventListener('abort', stop);
    child.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      errors = (errors + chunk.toString()).slice(-8000);
    });
    child.on('error', fail);
    child.on('close', (code) => {
      options.signal?.removeEventListener('abort', stop);
      if (code === 0) done(output);
      else if (options.signal?.aborted) fail(options.signal.reason);
      else
        fail(
          new Error(
            `bin/${name} ${args.join(' ')} ended with ${code}:\n${errors.trim().split('\n').slice(-6).join('\n')}`,
          ),
        );
    });
  });
}

function shorten(arg: string): string {
  const [, option = '', path = ''] = /^(--[\w-]+=)?(\/.*)$/.exec(arg) ?? [];
  const short = path === '' ? arg : option + relative(ROOT, path);
  const shown = short.length < arg.length && !short.includes('..') ? short : arg;
  return /[\s'"$]/.test(shown) ? `'${shown}'` : shown;
}

/** What the demonstration needs beyond npm's packages; null when all is there. */
export function whatIsMissing(): string | null {
  if (process.geteuid?.() !== 0) return 'not root: composing trees and images needs root';
  const tools = {
    'qemu-system-x86_64': 'qemu-system-x86',
    'qemu-img': 'qemu-utils',
    mmdebstrap: 'mmdebstrap',
    bwrap: 'bubblewrap',
    sfdisk: 'fdisk',
    'grub-mkimage': 'grub-pc-bin grub-common',
    'mkfs.ext4': 'e2fsprogs',
  };
  const there = (tool: string) =>
    ['/usr/sbin', '/usr/bin', '/sbin', '/bin'].some((folder) => existsSync(`${folder}/${tool}`));
  const packages = Object.entries(tools).flatMap(([tool, name]) => (there(tool) ? [] : [name]));
  return packages.length === 0 ? null : `missing programs: apt-get install ${packages.join(' ')}`;
}
