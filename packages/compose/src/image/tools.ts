import { accessSync, constants } from 'node:fs';
import { AtomicError } from '@atomic/ostree';
import { type RunOptions as CommonRunOptions, run as runProgram } from '../process.ts';

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
  gpg: 'gpg',
  'qemu-img': 'qemu-utils',
  tar: 'tar',
  mksquashfs: 'squashfs-tools',
  xorriso: 'xorriso',
} as const;

export type Tool = keyof typeof PACKAGES;

/** Throws one AtomicError 'unsupported' naming all tools that are missing and how to install them. */
export function requireTools(tools: readonly Tool[]): void {
  const missing = tools.filter((tool) => find(tool) === undefined);
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((tool) => PACKAGES[tool]))];
  throw new AtomicError('unsupported', `cannot make a disk image: ${missing.join(', ')} not installed`, {
    hint: `apt-get install ${packages.join(' ')}`,
  });
}

export type RunOptions = Pick<CommonRunOptions, 'input' | 'signal'>;

/**
 * Run a tool to its end; its standard output. It is in a process group of its own, which an abort kills, and which a
 * Ctrl-C at the terminal does not reach: losetup, mount and umount are not to be stopped halfway.
 * Throws AtomicError 'no-space' or 'failed' with the tool's last line.
 */
export async function run(tool: Tool, args: readonly string[], options: RunOptions = {}): Promise<string> {
  return await runProgram(find(tool) ?? tool, args, {
    ...options,
    env: { PATH: FOLDERS.join(':'), LC_ALL: 'C' },
    explain: (output, code) =>
      /no space left/i.test(output)
        ? noSpace(`${tool} ran out of space`)
        : new AtomicError(
            'failed',
            `${tool} failed: ${output.trim().split('\n').at(-1) || (code === null ? 'it was killed' : `status ${code}`)}`,
          ),
  });
}

export function noSpace(what: string, cause?: unknown): AtomicError {
  return new AtomicError('no-space', `no space left: ${what}`, {
    hint: 'free some space, choose another output folder, or make the image larger',
    cause,
  });
}
