import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setImmutable, withFd } from '@atomic/linux';
import { AtomicError, type Checksum, metadataString, openFileAt, type Progress, type Repo } from '@atomic/ostree';
import type { HostRemote } from '../host-remote.ts';
import { type Phase, type Populated, populate } from '../populate.ts';
import { run } from '../tools.ts';
import { LIVE_ROOT, liveInitrd } from './live-initrd.ts';

export interface LiveSystemOptions {
  repo: Repo;
  ref: string;
  os: string;
  /** Kernel arguments after `root=`. */
  kargs: readonly string[];
  remote?: HostRemote | undefined;
  /** Folder for intermediate files, the whole tree among them. */
  scratch: string;
  /** Anything more for the system's disk before it is packed. */
  finish?: ((root: string, populated: Populated) => Promise<void>) | undefined;
  phase: Phase;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

export interface LiveSystem {
  commit: Checksum;
  version: string | undefined;
  kernel: Buffer;
  /** The tree's initramfs, and after it the archive that makes the system a live one. */
  initrd: Buffer;
  /** The file with the root image. */
  rootImage: string;
  /** The kernel arguments it starts with. */
  commandLine: readonly string[];
}

/**
 * Make a system that runs from memory and one image: the image has a deployment as a disk has it, so it is a host like
 * any other, but for what it forgets when it is switched off.
 */
export async function makeLiveSystem(options: LiveSystemOptions): Promise<LiveSystem> {
  const { repo, ref, scratch, phase, signal, progress } = options;
  const commit = repo.resolveRev(ref);
  const { metadata } = repo.loadCommit(commit);
  const kernel = metadataString(metadata, 'ostree.linux');
  if (kernel === undefined) throw new AtomicError('invalid', `${ref} has no kernel to start`);
  const root = join(scratch, 'root');
  await mkdir(root, { recursive: true });
  const populated = await populate(root, {
    ...options,
    commit,
    kargs: [LIVE_ROOT, ...options.kargs],
    bootloader: 'none',
    bootPrefix: true,
    phase,
    signal,
    progress,
  });
  await options.finish?.(root, populated);
  const rootImage = join(scratch, 'root.squashfs');
  await phase('root image', () => run('mksquashfs', [root, rootImage, ...SQUASHFS], { signal }));
  const file = (name: string): Buffer => openFileAt(repo, commit, `/usr/lib/modules/${kernel}/${name}`).readContent();
  return {
    commit,
    version: populated.version,
    kernel: file('vmlinuz'),
    initrd: Buffer.concat([aligned(file('initramfs.img')), liveInitrd(repo, commit, kernel)]),
    rootImage,
    commandLine: populated.commandLine,
  };
}

// Zstandard unpacks fastest of what is small; the kernel is beside the image.
const SQUASHFS = '-noappend -quiet -no-progress -comp zstd -Xcompression-level 9 -b 256K'.split(' ');

/** The kernel wants an archive after another to begin at a multiple of four bytes; zeros before it are skipped. */
const aligned = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);

/** Remove the folder that a live system was made in: deployments in it do not go by themselves. */
export async function removeScratch(scratch: string): Promise<void> {
  const stateroots = join(scratch, 'root/ostree/deploy');
  for (const os of await readdir(stateroots).catch(() => [])) {
    const deployments = join(stateroots, os, 'deploy');
    for (const name of await readdir(deployments).catch(() => []))
      if (/\.\d+$/.test(name)) withFd(join(deployments, name), (fd) => setImmutable(fd, false));
  }
  await rm(scratch, { recursive: true, force: true });
}

/** Write a file and the folders above it. */
export async function put(path: string, content: string | Buffer, mode = 0o644): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content, { mode });
}
