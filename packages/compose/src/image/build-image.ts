import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { access, mkdtemp, open, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { AtomicError, type Checksum, type Progress, pullLocal, Repo, remoteAdd } from '@atomic/ostree';
import { deploy, initStateroot, initSysroot, makeOrigin, Sysroot } from '@atomic/sysroot';
import { type Firmware, installGrub, requireGrub } from './grub.ts';
import { LoopPartition } from './mounted.ts';
import { planLayout, writePartitionTable } from './partitions.ts';
import { noSpace, requireTools, run, type Tool } from './tools.ts';

export type ImageFormat = 'raw' | 'qcow2';

export interface BuildImageOptions {
  /** The repository that has the tree. */
  repo: Repo;
  /** The branch to deploy. */
  ref: string;
  /** The file to write; replaced when it is there. */
  out: string;
  format: ImageFormat;
  /** Size of the disk in bytes; the file itself is sparse. */
  size: number;
  /** Name of the stateroot. */
  os: string;
  /** Kernel arguments after `root=`. */
  kargs?: readonly string[] | undefined;
  /** Where the machine gets its upgrades from. Without it the branch is a local one. */
  remote?: { name: string; url: string } | undefined;
  /** For which firmware a loader is installed: BIOS when not said. */
  firmware?: readonly Firmware[] | undefined;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

export interface BuildImageResult {
  out: string;
  format: ImageFormat;
  ref: string;
  commit: Checksum;
  version: string | undefined;
  /** Size of the disk, and the bytes the image file takes. */
  size: number;
  allocated: number;
  /** Seconds each part took. */
  seconds: Record<string, number>;
}

const MINIMUM_SIZE = 256 * 1024 * 1024;

// Features that GRUB 2.06 and 2.12 cannot read are left out, whatever this machine's mkfs defaults to.
const EXT4_FEATURES = '^metadata_csum_seed,^orphan_file';

async function checkInput(options: BuildImageOptions, firmware: readonly Firmware[]): Promise<string> {
  if (process.geteuid?.() !== 0)
    throw new AtomicError('permission', 'making a disk image needs root: it attaches and mounts the image', {
      hint: 'run the same command with sudo',
    });
  const tools: Tool[] = ['sfdisk', 'losetup', 'mount', 'umount', 'mkfs.ext4', 'grub-mkimage'];
  if (firmware.includes('uefi')) tools.push('mkfs.vfat', 'mcopy');
  if (options.format === 'qcow2') tools.push('qemu-img');
  requireTools(tools);
  requireGrub(firmware);
  if (!Number.isSafeInteger(options.size) || options.size < MINIMUM_SIZE)
    throw new AtomicError('invalid', `a disk of ${options.size} bytes is too small`, {
      hint: 'at least 256M, such as 4G',
    });
  const out = resolve(options.out);
  await access(dirname(out), constants.W_OK).catch((cause: unknown) => {
    throw new AtomicError('not-found', `cannot write ${options.out}: no such folder, or it is read-only`, { cause });
  });
  const there = await stat(out).catch(() => null);
  if (there && !there.isFile()) throw new AtomicError('exists', `${options.out} is there and is not a file`);
  return out;
}

/**
 * Write a bootable disk with one deployment of a branch: a GPT, GRUB, and an ext4 root that holds the repository,
 * the deployment and its boot entry. The image is made aside and appears under its name when it is complete;
 * nothing stays mounted or attached after a failure or an abort.
 *
 * Throws AtomicError: 'permission' (not root), 'unsupported' (a tool is missing), 'not-found' (the branch, the
 * folder), 'no-space' (the host's disk or the image is too small), 'failed'.
 */
export async function buildImage(options: BuildImageOptions): Promise<BuildImageResult> {
  const { repo, ref, format, size, signal, progress } = options;
  const firmware = options.firmware ?? ['bios'];
  const out = await checkInput(options, firmware);
  const commit = repo.resolveRev(ref);
  const scratch = await mkdtemp(join(tmpdir(), 'atomic-image-'));
  const aside = join(dirname(out), `.${basename(out)}.${randomUUID().slice(0, 8)}.tmp`);
  const seconds: Record<string, number> = {};
  const phase = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    signal?.throwIfAborted();
    progress?.({ phase: name });
    const start = performance.now();
    const result = await work();
    seconds[name] = Math.round(performance.now() - start) / 1000;
    return result;
  };
  try {
    const layout = planLayout(size);
    const rootUuid = randomUUID();
    const file = await open(aside, 'wx', 0o644);
    try {
      await file.truncate(size);
    } finally {
      await file.close();
    }
    let version: string | undefined;
    await phase('partition', () => writePartitionTable(aside, layout, signal));
    {
      await using loop = await LoopPartition.attach(aside, layout.root, signal);
      await phase('format', () =>
        run(
          'mkfs.ext4',
          [
            ...['-q', '-F', '-L', 'root', '-U', rootUuid, '-O', EXT4_FEATURES],
            // The file is new and empty already; the guest's kernel fills the inode tables in as it goes.
            ...['-E', 'lazy_itable_init=1,lazy_journal_init=1,nodiscard', loop.device],
          ],
          { signal },
        ),
      );
      const root = await loop.mount();
      version = await populate(root, commit, rootUuid, options, phase);
      // Leaving the block writes everything back: that is where most of the time goes.
    }
    await phase('boot loader', () => installGrub({ image: aside, layout, rootUuid, firmware, scratch, signal }));
    let finished = aside;
    if (format === 'qcow2') {
      finished = `${aside}.qcow2`;
      await phase('convert', () => run('qemu-img', ['convert', '-O', 'qcow2', aside, finished], { signal }));
    }
    signal?.throwIfAborted();
    await rename(finished, out);
    const { blocks } = await stat(out);
    return { out, format, ref, commit, version, size, allocated: blocks * 512, seconds };
  } catch (error) {
    if (isNoSpace(error)) throw noSpace(`writing the image ${options.out}`, error);
    throw error;
  } finally {
    await rm(scratch, { recursive: true, force: true });
    await rm(aside, { force: true });
    await rm(`${aside}.qcow2`, { force: true });
  }
}

type Phase = <T>(name: string, work: () => Promise<T>) => Promise<T>;

/** Fill the mounted root with repository, stateroot and deployment; the deployment's version. */
async function populate(
  root: string,
  commit: Checksum,
  rootUuid: string,
  options: BuildImageOptions,
  phase: Phase,
): Promise<string | undefined> {
  const { ref, os, remote, signal, progress } = options;
  initSysroot(root);
  const target = Repo.open(join(root, 'ostree/repo'));
  // The image counts only once it is whole, so syncing each step of it is time for nothing.
  target.config.set('core', 'fsync', 'false');
  // The kernels lie on the root itself, below /boot; GRUB reads the menu that is written beside the entries.
  target.config.set('sysroot', 'bootloader', 'none');
  target.config.set('sysroot', 'bootprefix', 'true');
  target.config.set('atomic', 'bootloader', 'grub');
  target.saveConfig();
  await phase('pull', () =>
    pullLocal(target, options.repo, { remote: remote?.name ?? null, refs: [ref], signal, progress }),
  );
  if (remote) remoteAdd(target, remote.name, remote.url, { options: { 'gpg-verify': 'false' }, branches: [ref] });
  const sysroot = Sysroot.open(root);
  initStateroot(sysroot, os);
  const deployment = await phase('deploy', () =>
    deploy(sysroot, {
      os,
      rev: commit,
      origin: makeOrigin(remote ? `${remote.name}:${ref}` : ref),
      kargs: [`root=UUID=${rootUuid}`, ...(options.kargs ?? ['rw', 'quiet', 'console=ttyS0,115200'])],
      signal,
      progress,
    }),
  );
  const finished = Repo.open(join(root, 'ostree/repo'));
  finished.config.removeKey('core', 'fsync');
  finished.saveConfig();
  return deployment.version;
}

function isNoSpace(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause)
    if ('code' in at && (at.code === 'ENOSPC' || at.code === 'EDQUOT')) return true;
  return false;
}
