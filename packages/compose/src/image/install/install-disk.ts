import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readMounts } from '@atomic/linux';
import { AtomicError, type Checksum, type Progress, type Repo } from '@atomic/ostree';
import { z } from 'zod';
import { placeEsp } from '../esp.ts';
import { placeBios } from '../grub.ts';
import type { HostRemote } from '../host-remote.ts';
import { MEDIUM_FOLDER } from '../live/live-initrd.ts';
import { planLayout } from '../partitions.ts';
import { phases } from '../populate.ts';
import { requireTools } from '../tools.ts';
import { writeSystem } from '../write-system.ts';
import { checkConfig } from './check-config.ts';
import type { InstallConfig } from './config.ts';
import { findDisk } from './find-disk.ts';
import { settleInstalled } from './settle.ts';

/** Where on a medium the installer finds what it needs. */
export const MEDIUM_INSTALL = 'install';
/** GRUB's parts and the EFI partition, among that. */
export const MEDIUM_ESP = `${MEDIUM_INSTALL}/esp.img`;
export const MEDIUM_CONFIG = `${MEDIUM_INSTALL}/config.json`;
export const MEDIUM_TREE = `${MEDIUM_INSTALL}/tree.json`;

const mediumTree = z.object({ ref: z.string(), 'kernel-arguments': z.array(z.string()).default([]) });
/** What a medium says of the tree it installs: its ref, and the kernel arguments it needs itself. */
export type MediumTree = z.output<typeof mediumTree>;

/** Throws 'not-found' where there is no medium, 'corrupt' for a damaged one. */
export function readMediumTree(medium: string): MediumTree {
  const path = join(medium, MEDIUM_TREE);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new AtomicError('not-found', `${medium} is no installation medium: cannot read ${path}`, { cause });
  }
  try {
    return mediumTree.parse(JSON.parse(text));
  } catch (cause) {
    throw new AtomicError('corrupt', `${path} does not name a tree`, { cause });
  }
}

export interface InstallDiskOptions {
  /** Has the tree: the live system's own. */
  repo: Repo;
  tree: MediumTree;
  config: InstallConfig;
  /** The medium's folder; where a live system has it when not said. */
  medium?: string | undefined;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

export interface InstallDiskResult {
  disk: string;
  ref: string;
  commit: Checksum;
  version: string | undefined;
  seconds: Record<string, number>;
}

const SMALLEST = 1 << 30;

/**
 * Install a tree on a disk of this machine: all that was on it is lost. The boot loader goes there last, so a disk that
 * starts is whole. Throws AtomicError 'not-found' and 'invalid' for the disk (see {@link findDisk}), 'no-space',
 * 'unsupported' (a tool is missing), 'failed'.
 */
export async function installDisk(options: InstallDiskOptions): Promise<InstallDiskResult> {
  const { repo, tree, config, medium = MEDIUM_FOLDER } = options;
  const { ref } = tree;
  requireTools([
    'sfdisk',
    'losetup',
    'mount',
    'umount',
    'mkfs.ext4',
    ...(config.users.length > 0 ? ['useradd' as const] : []),
    ...(config.remote?.['gpg-key'] === undefined ? [] : ['gpg' as const]),
  ]);
  const esp = join(medium, MEDIUM_ESP);
  if (!existsSync(esp)) throw new AtomicError('not-found', `${medium} is no installation medium`);
  const commit = repo.resolveRev(ref);
  checkConfig(repo, commit, ref, config);
  const { device, size } = findDisk(config.disk, readMounts().find(({ point }) => point === medium)?.source);
  if (size < SMALLEST)
    throw new AtomicError('invalid', `${device} is too small: ${size} bytes`, { hint: 'at least 1G' });
  const seconds: Record<string, number> = {};
  const phase = phases(seconds, options);
  const layout = planLayout(size, bytesOf(config['boot-size']));
  const { version } = await writeSystem(
    device,
    {
      ...options,
      layout,
      ref,
      commit,
      os: config.os,
      remote: hostRemoteOf(config),
      bootloader: 'grub',
      kargs: [...tree['kernel-arguments'], ...config['kernel-arguments']],
      phase,
    },
    (populated) => phase('settle', () => settleInstalled(populated, config)),
  );
  await phase('boot loader', async () => {
    await placeEsp(esp, device, layout.esp);
    await placeBios(join(medium, MEDIUM_INSTALL), device, layout);
  });
  return { disk: device, ref, commit, version, seconds };
}

/** Where an installed host finds its upgrades. */
export function hostRemoteOf({ remote }: InstallConfig): HostRemote | undefined {
  if (remote === undefined) return undefined;
  const { name, url, 'gpg-key': gpgKey, 'sign-verify': signVerify } = remote;
  return { name, url, signVerify, gpgKeys: gpgKey === undefined ? [] : [Buffer.from(gpgKey)] };
}

function bytesOf(size: string | undefined): number {
  if (size === undefined) return 0;
  return Number.parseInt(size, 10) * (size.endsWith('G') ? 2 ** 30 : 2 ** 20);
}
