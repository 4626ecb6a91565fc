import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { mkdtemp, readdir, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { AtomicError, type Checksum, type Progress, type Repo } from '@atomic/ostree';
import { machineOf } from '../../commit-metadata.ts';
import { checkOutput, settle } from '../../output.ts';
import type { HostRemote } from '../host-remote.ts';
import type { InstallConfig } from '../install/config.ts';
import { enableInstaller, requireInstallable, requireInstaller, writeInstaller } from '../install/installer.ts';
import { type Populated, phases } from '../populate.ts';
import { requireTools } from '../tools.ts';
import { cpioEnd, cpioHeader, cpioPadding } from './cpio.ts';
import { ROOT_IMAGE } from './live-initrd.ts';
import { makeLiveSystem, put, removeScratch } from './live-root.ts';

export interface BuildPxeOptions {
  repo: Repo;
  ref: string;
  /** The folder to write; replaced when it is one of these. */
  out: string;
  os: string;
  kargs?: readonly string[] | undefined;
  remote?: HostRemote | undefined;
  /** How machines that start it are to be installed; without one they run it from memory. */
  config?: InstallConfig | undefined;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

export interface BuildPxeResult {
  out: string;
  ref: string;
  commit: Checksum;
  version: string | undefined;
  /** What the kernel is to be started with. */
  commandLine: string;
  /** Bytes of each file. */
  sizes: Record<string, number>;
  seconds: Record<string, number>;
}

/** Where a set that installs keeps the installer: in the live system's own /etc, of which an installed one gets nothing. */
const INSTALLER = '/etc/atomic/installer';
const SET = ['boot.ipxe', 'cmdline', 'initrd.img', 'pxelinux.cfg', 'root.img', 'vmlinuz'];
const INSTALLER_TOOLS = ['grub-mkimage', 'mkfs.vfat', 'mcopy'] as const;

/** Larger files cannot be in an archive for the kernel: their size is written in 32 bits. */
const MAX_ROOT_IMAGE = 0xffff_ffff;

/**
 * Write what a machine needs to start a tree over the network and run it from memory: kernel, initramfs, root image (an
 * archive that the boot loader loads as a second initramfs), and scripts for iPXE and PXELINUX. With a configuration
 * the tree installs itself on the disk of whatever machine starts it. Throws as {@link buildImage}.
 */
export async function buildPxe(options: BuildPxeOptions): Promise<BuildPxeResult> {
  const { repo, ref, config, signal } = options;
  requireRootFor('a set for network boots');
  requireTools(['mksquashfs', ...(config === undefined ? [] : INSTALLER_TOOLS)]);
  const machine = machineOf(repo, repo.resolveRev(ref));
  if (config !== undefined) {
    requireInstallable(machine);
    requireInstaller(repo, repo.resolveRev(ref), ref, config);
  }
  const out = await checkOutput(options.out, 'folder');
  await requireOwnSet(out);
  const seconds: Record<string, number> = {};
  const phase = phases(seconds, options);
  const scratch = await mkdtemp(join(dirname(out), `.${basename(out)}.`));
  try {
    const kargs = options.kargs ?? ['rw', 'quiet', 'console=ttyS0,115200'];
    const finish = async (_root: string, { folder }: Populated): Promise<void> => {
      if (config === undefined) return;
      await writeInstaller(join(folder, INSTALLER), { ref, config, kargs, machine, signal });
      await enableInstaller(folder, INSTALLER);
    };
    const live = await makeLiveSystem({ ...options, kargs, scratch, finish, phase });
    const { size } = await stat(live.rootImage);
    if (size > MAX_ROOT_IMAGE)
      throw new AtomicError('invalid', `the root image of ${size} bytes is too large for an initramfs`);
    const set = join(scratch, 'set');
    const commandLine = live.commandLine.join(' ');
    await put(join(set, 'vmlinuz'), live.kernel);
    await writeFile(join(set, 'initrd.img'), live.initrd);
    await writeFile(join(set, 'cmdline'), `${commandLine}\n`);
    await writeFile(join(set, 'boot.ipxe'), ipxeScript(commandLine));
    await writeFile(join(set, 'pxelinux.cfg'), pxelinuxMenu(commandLine));
    await phase('pack', async () => {
      const archive = async function* (): AsyncGenerator<Buffer> {
        yield cpioHeader(ROOT_IMAGE, 0o100644, size, 1);
        yield* createReadStream(live.rootImage, { highWaterMark: 1 << 20 });
        yield Buffer.concat([cpioPadding(size), cpioEnd()]);
      };
      await pipeline(archive, createWriteStream(join(set, 'root.img')), { signal });
    });
    const names = ['vmlinuz', 'initrd.img', 'root.img'];
    const sizes = await Promise.all(names.map(async (name) => [name, (await stat(join(set, name))).size] as const));
    signal?.throwIfAborted();
    await settle(set, out);
    return {
      out: options.out,
      ref,
      commit: live.commit,
      version: live.version,
      commandLine,
      sizes: Object.fromEntries(sizes),
      seconds,
    };
  } finally {
    await removeScratch(scratch);
  }
}

/** Throws `exists` for a folder that holds anything but a set as it was written: all of it would be lost. */
export async function requireOwnSet(folder: string): Promise<void> {
  const names = existsSync(folder) ? (await readdir(folder)).sort() : [];
  if (names.length === 0 || names.join('/') === SET.join('/')) return;
  throw new AtomicError('exists', `${folder} is there and is no set for network boots, or holds other files as well`, {
    hint: 'name a folder that is not there yet, and move the set',
  });
}

/** Throws 'permission' unless this is root: files of a system belong to many users. */
export function requireRootFor(what: string): void {
  if (process.geteuid?.() !== 0)
    throw new AtomicError('permission', `making ${what} needs root`, { hint: 'run the same command with sudo' });
}

const ipxeScript = (commandLine: string): string => `#!ipxe
kernel vmlinuz ${commandLine} initrd=initrd.img initrd=root.img
initrd initrd.img
initrd root.img
boot
`;

const pxelinuxMenu = (commandLine: string): string => `DEFAULT atomic
LABEL atomic
  KERNEL vmlinuz
  INITRD initrd.img,root.img
  APPEND ${commandLine}
`;
