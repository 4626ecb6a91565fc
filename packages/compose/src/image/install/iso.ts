import { mkdir, mkdtemp, rename, rm, stat, symlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { AtomicError, asArray, asString, type Checksum, lookup, type Progress, type Repo } from '@atomic/ostree';
import { machineOf } from '../../commit-metadata.ts';
import { makeEsp } from '../esp.ts';
import { makeGrub, requireGrub } from '../grub.ts';
import { MEDIUM_KARG, MEDIUM_LABEL, MEDIUM_ROOT_IMAGE } from '../live/live-initrd.ts';
import { makeLiveSystem, put, removeScratch } from '../live/live-root.ts';
import { requireRootFor } from '../live/pxe.ts';
import { planLayout } from '../partitions.ts';
import { phases } from '../populate.ts';
import { requireTools, run } from '../tools.ts';
import type { InstallConfig } from './config.ts';
import { MEDIUM_CONFIG, MEDIUM_ESP, MEDIUM_INSTALL, MEDIUM_TREE } from './install-disk.ts';

export interface BuildIsoOptions {
  repo: Repo;
  /** The tree that the medium starts and installs. */
  ref: string;
  out: string;
  /** How machines are to be installed; without one the medium starts a live system and does nothing by itself. */
  config?: InstallConfig | undefined;
  os: string;
  /** Kernel arguments of the live system after its root's. */
  kargs?: readonly string[] | undefined;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

export interface BuildIsoResult {
  out: string;
  ref: string;
  commit: Checksum;
  version: string | undefined;
  /** Bytes of the file. */
  size: number;
  label: string;
  seconds: Record<string, number>;
}

/** What the installer runs, and the Debian packages that have it. */
const NEEDED: readonly [string, string][] = [
  ['sfdisk', 'fdisk'],
  ['mkfs.ext4', 'e2fsprogs'],
  ['losetup', 'mount'],
  ['mount', 'mount'],
];
/** GRUB finds the boot entries on this partition of the disk it is started from: /boot, or the root that has it. */
const MENU_PARTITION = 3;

const UNIT = `[Unit]
Description=Install this machine
After=multi-user.target

[Service]
Type=oneshot
ExecStart=/usr/bin/atomic compose install-disk
StandardOutput=journal+console
StandardError=journal+console
`;

/**
 * Write an ISO image that starts (BIOS and UEFI, from a CD or a stick) a live system of a tree, which installs that tree
 * from its own repository on the machine's disk as one configuration file says, unattended. Throws as
 * {@link buildImage}, and `invalid` for a tree that lacks a tool it would need.
 */
export async function buildIso(options: BuildIsoOptions): Promise<BuildIsoResult> {
  const { repo, ref, config, signal } = options;
  requireRootFor('an installation medium');
  requireTools(['mksquashfs', 'xorriso', 'grub-mkrescue', 'grub-mkimage', 'mkfs.vfat', 'mcopy']);
  const commit = repo.resolveRev(ref);
  const machine = machineOf(repo, commit);
  if (machine !== 'x64')
    throw new AtomicError('unsupported', `an installation medium for ${machine} is not supported`, {
      hint: 'make a disk image or a network boot set',
    });
  requireGrub(['bios', 'uefi'], machine);
  if (config !== undefined) requireInstaller(repo, commit, ref);
  const out = resolve(options.out);
  const seconds: Record<string, number> = {};
  const phase = phases(seconds, options);
  const scratch = await mkdtemp(join(dirname(out), `.${basename(out)}.`));
  const label = `ATOMIC_${commit.slice(0, 8).toUpperCase()}`;
  try {
    const medium = join(scratch, 'medium');
    const kargs = options.kargs ?? treeKargs(repo, commit);
    const live = await makeLiveSystem({
      ...options,
      kargs: [`${MEDIUM_KARG}=${label}`, ...kargs],
      scratch,
      phase,
      finish: async (_root, { folder }) => {
        if (config === undefined) return;
        const units = join(folder, 'etc/systemd/system');
        await put(join(units, 'atomic-install.service'), UNIT);
        await mkdir(join(units, 'multi-user.target.wants'), { recursive: true });
        await symlink('../atomic-install.service', join(units, 'multi-user.target.wants/atomic-install.service'));
      },
    });
    await phase('medium', async () => {
      await put(join(medium, MEDIUM_LABEL), `${label}\n`);
      await put(join(medium, 'live/vmlinuz'), live.kernel);
      await put(join(medium, 'live/initrd.img'), live.initrd);
      await rename(live.rootImage, join(medium, MEDIUM_ROOT_IMAGE));
      await put(join(medium, 'boot/grub/grub.cfg'), menu(live.commandLine, config !== undefined));
      if (config !== undefined) {
        const grub = join(medium, MEDIUM_INSTALL);
        await makeGrub(grub, { partition: MENU_PARTITION }, { firmware: ['bios', 'uefi'], machine, signal });
        // The size of the partition does not depend on the disk's.
        const { length } = planLayout(2 ** 32).esp;
        await makeEsp(join(medium, MEDIUM_ESP), length, { folder: grub, entries: ['EFI'], signal });
        const settled = { ...config, 'kernel-arguments': [...kargs, ...config['kernel-arguments']] };
        await put(join(medium, MEDIUM_CONFIG), JSON.stringify(settled), 0o600);
        await put(join(medium, MEDIUM_TREE), JSON.stringify({ ref }));
      }
      const file = join(scratch, 'iso');
      await run('grub-mkrescue', ['-o', file, medium, '-volid', label, '-iso-level', '3'], { signal });
      signal?.throwIfAborted();
      await rename(file, out);
    });
    const { size } = await stat(out);
    return { out: options.out, ref, commit, version: live.version, size, label, seconds };
  } finally {
    await removeScratch(scratch);
    await rm(scratch, { recursive: true, force: true });
  }
}

/** What a tree says its kernel needs. */
export function treeKargs(repo: Repo, commit: Checksum): string[] {
  const own = repo.loadCommit(commit).metadata.get('atomic.kernel-arguments');
  return own === undefined ? [] : asArray(own.value).map(asString);
}

function requireInstaller(repo: Repo, commit: Checksum, ref: string): void {
  const has = (path: string): boolean => {
    try {
      lookup(repo, commit, path);
      return true;
    } catch {
      return false;
    }
  };
  const missing = NEEDED.filter(([tool]) => !['/usr/sbin', '/usr/bin'].some((folder) => has(`${folder}/${tool}`)));
  if (missing.length === 0) return;
  throw new AtomicError(
    'invalid',
    `${ref} cannot install itself: it has no ${missing.map(([tool]) => tool).join(', ')}`,
    {
      hint: `add to its treefile: packages: [${[...new Set(missing.map(([, name]) => name))].join(', ')}]`,
    },
  );
}

function menu(commandLine: readonly string[], installs: boolean): string {
  const entry = (title: string, ...more: string[]): string =>
    [
      `menuentry '${title}' {`,
      `  linux /live/vmlinuz ${[...commandLine, ...more].join(' ')}`,
      '  initrd /live/initrd.img',
      '}',
    ].join('\n');
  const live = installs ? entry('Start without installing', 'systemd.mask=atomic-install.service') : entry('Start');
  return [
    'serial --unit=0 --speed=115200',
    'terminal_input serial console',
    'terminal_output serial console',
    // Long enough to be stopped: what follows overwrites a disk.
    `set timeout=${installs ? 10 : 3}`,
    ...(installs ? [entry('Install on this machine (its disk is overwritten)')] : []),
    live,
    '',
  ].join('\n');
}
