import { randomUUID } from 'node:crypto';
import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { AtomicError, type Checksum, type Progress, type Repo } from '@atomic/ostree';
import { TRIAL_KARGS } from '@atomic/sysroot';
import { machineOf } from '../commit-metadata.ts';
import { checkOutput, settle } from '../output.ts';
import { type ImageFormat, packDisk } from './formats.ts';
import { type Firmware, installGrub, requireGrub } from './grub.ts';
import type { HostRemote } from './host-remote.ts';
import { planLayout } from './partitions.ts';
import { phases } from './populate.ts';
import { installSystemdBoot, requireSystemdBoot } from './systemd-boot.ts';
import { noSpace, requireTools, type Tool } from './tools.ts';
import { writeSystem } from './write-system.ts';

export type ImageBootloader = 'grub' | 'systemd-boot';

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
  remote?: HostRemote | undefined;
  /** For which firmware a loader is installed. Not said: BIOS; UEFI with systemd-boot, or where there is no BIOS. */
  firmware?: readonly Firmware[] | undefined;
  /** GRUB when not said. */
  bootloader?: ImageBootloader | undefined;
  /**
   * Bytes of /boot as a partition of its own; 0: it is a folder of the root. Not said: a folder for GRUB, 512 MiB for
   * systemd-boot, which cannot do without.
   */
  bootSize?: number | undefined;
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
const MINIMUM_BOOT_SIZE = 16 * 1024 * 1024;

const SYSTEMD_BOOT_SIZE = 512 * 1024 * 1024;

async function checkInput(options: BuildImageOptions, plan: BootPlan): Promise<string> {
  const { bootloader, firmware, bootSize } = plan;
  if (bootloader === 'systemd-boot' && firmware.includes('bios'))
    throw new AtomicError('invalid', 'systemd-boot does not start from BIOS firmware', {
      hint: 'name UEFI alone, or take GRUB',
    });
  if (bootloader === 'systemd-boot' && bootSize === 0)
    throw new AtomicError('invalid', 'with systemd-boot, /boot has to be a partition of its own');
  if (process.geteuid?.() !== 0)
    throw new AtomicError('permission', 'making a disk image needs root: it attaches and mounts the image', {
      hint: 'run the same command with sudo',
    });
  const tools: Tool[] = ['sfdisk', 'losetup', 'mount', 'umount', 'mkfs.ext4', 'grub-mkimage'];
  if (firmware.includes('uefi')) tools.push('mkfs.vfat', 'mcopy');
  if (options.format !== 'raw') tools.push('qemu-img');
  if (options.format === 'ova') tools.push('tar');
  if (bootloader === 'systemd-boot') tools.splice(tools.indexOf('grub-mkimage'), 1);
  requireTools(tools);
  if (bootloader === 'grub') requireGrub(firmware, plan.machine);
  else if (plan.machine === 'x64') requireSystemdBoot();
  else throw new AtomicError('unsupported', `an image with systemd-boot for ${plan.machine} is not supported`);
  if (!Number.isSafeInteger(options.size) || options.size < MINIMUM_SIZE + bootSize)
    throw new AtomicError('invalid', `a disk of ${options.size} bytes is too small`, {
      hint: bootSize === 0 ? 'at least 256M, such as 4G' : 'at least 256M beside /boot, such as 4G',
    });
  if (bootSize !== 0 && bootSize < MINIMUM_BOOT_SIZE)
    throw new AtomicError('invalid', `a /boot of ${bootSize} bytes is too small`, {
      hint: 'at least 16M, such as 512M',
    });
  return await checkOutput(options.out, 'file');
}

/**
 * Write a bootable disk with one deployment of a branch: a GPT, a boot loader, and an ext4 root that holds the
 * repository, the deployment and, with /boot in it or beside it, its boot entry. The image is made aside and appears under its name when it is complete;
 * nothing stays mounted or attached after a failure or an abort.
 *
 * Throws AtomicError: 'invalid' (sizes, a loader that cannot start so), 'permission' (not root), 'unsupported' (a tool is missing), 'not-found' (the branch, the
 * folder), 'no-space' (the host's disk or the image is too small), 'failed'.
 */
export async function buildImage(options: BuildImageOptions): Promise<BuildImageResult> {
  const { repo, ref, format, size, signal } = options;
  const commit = repo.resolveRev(ref);
  const plan = planBoot(options, machineOf(repo, commit));
  const out = await checkInput(options, plan);
  const scratch = await mkdtemp(join(tmpdir(), 'atomic-image-'));
  const aside = join(dirname(out), `.${basename(out)}.${randomUUID().slice(0, 8)}.tmp`);
  const seconds: Record<string, number> = {};
  const phase = phases(seconds, options);
  try {
    const layout = planLayout(size, plan.bootSize);
    const file = await open(aside, 'wx', 0o644);
    try {
      await file.truncate(size);
    } finally {
      await file.close();
    }
    const { version, bootUuid } = await writeSystem(aside, {
      ...options,
      layout,
      commit,
      bootloader: plan.bootloader === 'grub' ? 'grub' : 'none',
      kargs: [
        // GRUB's menu adds these to boots that are counted; systemd-boot passes an entry's arguments on as they are.
        ...(plan.bootloader === 'systemd-boot' ? TRIAL_KARGS : []),
        ...(options.kargs ?? ['rw', 'quiet', 'console=ttyS0,115200']),
      ],
      phase,
    });
    await phase('boot loader', async () => {
      const common = { image: aside, layout, scratch, signal };
      if (plan.bootloader === 'grub')
        await installGrub({ ...common, bootUuid, firmware: plan.firmware, machine: plan.machine });
      else await installSystemdBoot(common);
    });
    let finished = aside;
    if (format !== 'raw') {
      const { timestamp } = repo.loadCommit(commit);
      const title = version === undefined ? ref : `${ref} ${version}`;
      const pack = { raw: aside, format, out, scratch: `${aside}.parts`, timestamp, title, signal };
      finished = await phase('convert', () => packDisk(pack));
    }
    signal?.throwIfAborted();
    await settle(finished, out);
    const { blocks } = await stat(out);
    return { out, format, ref, commit, version, size, allocated: blocks * 512, seconds };
  } catch (error) {
    if (isNoSpace(error)) throw noSpace(`writing the image ${options.out}`, error);
    throw error;
  } finally {
    await rm(scratch, { recursive: true, force: true });
    await rm(aside, { force: true });
    await rm(`${aside}.parts`, { recursive: true, force: true });
  }
}

/** How the image is to boot. */
interface BootPlan {
  bootloader: ImageBootloader;
  firmware: readonly Firmware[];
  bootSize: number;
  /** The tree's architecture, by Node's name. */
  machine: string;
}

function planBoot({ bootloader = 'grub', firmware, bootSize }: BuildImageOptions, machine: string): BootPlan {
  const own = bootloader === 'systemd-boot';
  return {
    bootloader,
    firmware: firmware ?? (own || machine !== 'x64' ? ['uefi'] : ['bios']),
    bootSize: bootSize ?? (own ? SYSTEMD_BOOT_SIZE : 0),
    machine,
  };
}

function isNoSpace(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause)
    if ('code' in at && (at.code === 'ENOSPC' || at.code === 'EDQUOT')) return true;
  return false;
}
