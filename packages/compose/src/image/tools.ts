import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { AtomicError } from '@atomic/ostree';

// Root's PATH often lacks the administrators' folders, so we do not depend on it.
const FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

function find(name: string): string | undefined {
  return FOLDERS.map((folder) => `${folder}/${name}`).find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** System programs an image is made with, and the Debian package each comes from. */
const PACKAGES = {
  sfdisk: 'fdisk',
  losetup: 'mount',
  mount: 'mount',
  umount: 'mount',
  'mkfs.ext4': 'e2fsprogs',
  'mkfs.vfat': 'dosfstools',
  mcopy: 'mtools',
  'grub-mkimage': 'grub-common',
  'grub-mkrescue': 'grub-common',
  useradd: 'passwd',
  'qemu-img': 'qemu-utils',
  tar: 'tar',
  mksquashfs: 'squashfs-tools',
  xorriso: 'xorriso',
} as const;

export type Tool = keyof typeof PACKAGES;

/** Whether a tool is installed. */
export const hasTool = (tool: Tool): boolean => find(tool) !== undefined;

/** Throws one AtomicError 'unsupported' naming all tools that are missing and how to install them. */
export function requireTools(tools: readonly Tool[]): void {
  const missing = tools.filter((tool) => find(tool) === undefined);
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((tool) => PACKAGES[tool]))];
  throw new AtomicError('unsupported', `cannot make a disk image: ${missing.join(', ')} not installed`, {
    hint: `apt-get install ${packages.join(' ')}`,
  });
}

export interface RunOptions {
  input?: string | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Run a tool to its end; its standard output. An abort kills it.
 * Throws AtomicError 'no-space' or 'failed' with the tool's last line.
 */
export function run(tool: Tool, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { signal, input } = options;
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const child = spawn(find(tool) ?? tool, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { LC_ALL: 'C' } });
    let output = '';
    let errors = '';
    const stop = () => child.kill('SIGKILL');
    signal?.addEventListener('abort', stop);
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      errors = (errors + chunk.toString()).slice(-4000);
    });
    child.stdin.on('error', () => undefined); // a tool that fails early does not read its input
    child.stdin.end(input ?? '');
    child.on('error', reject);
    child.on('close', (code) => {
      signal?.removeEventListener('abort', stop);
      if (code === 0) resolve(output);
      else if (signal?.aborted) reject(signal.reason);
      else if (/no space left/i.test(errors)) reject(noSpace(`${tool} ran out of space`));
      else reject(new AtomicError('failed', `${tool} failed: ${errors.trim().split('\n').at(-1) || `status ${code}`}`));
    });
  });
}

export function noSpace(what: string, cause?: unknown): AtomicError {
  return new AtomicError('no-space', `no space left: ${what}`, {
    hint: 'free some space, choose another output folder, or make the image larger',
    cause,
  });
}
