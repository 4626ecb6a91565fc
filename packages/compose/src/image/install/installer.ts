import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { AtomicError, type Checksum, lookup, type Repo } from '@atomic/ostree';
import { makeEsp } from '../esp.ts';
import { makeGrub, requireGrub } from '../grub.ts';
import { put } from '../live/live-root.ts';
import { planLayout } from '../partitions.ts';
import { checkConfig } from './check-config.ts';
import type { InstallConfig } from './config.ts';
import { MEDIUM_CONFIG, MEDIUM_ESP, MEDIUM_INSTALL, MEDIUM_TREE, type MediumTree } from './install-disk.ts';

/** What the installer runs, and the Debian packages that have it. */
const NEEDED: readonly [string, string][] = [
  ['sfdisk', 'fdisk'],
  ['mkfs.ext4', 'e2fsprogs'],
  ['losetup', 'mount'],
  ['mount', 'mount'],
];
const NEEDED_FOR_USERS: readonly [string, string] = ['useradd', 'passwd'];
const NEEDED_FOR_KEYS: readonly [string, string] = ['gpg', 'gpg'];
/** GRUB finds the boot entries on this partition of the disk it is started from: /boot, or the root that has it. */
const MENU_PARTITION = 3;

const unit = (words: string): string => `[Unit]
Description=Install this machine
After=multi-user.target

[Service]
Type=oneshot
ExecStart=/usr/bin/atomic compose install-disk${words}
StandardOutput=journal+console
StandardError=journal+console
`;

/** Throws AtomicError 'unsupported' where disks of an architecture cannot be installed, or GRUB is missing. */
export function requireInstallable(machine: string): void {
  if (machine !== 'x64')
    throw new AtomicError('unsupported', `media that start or install machines of ${machine} are not supported`, {
      hint: 'make a disk image, or a network boot set that does not install',
    });
  requireGrub(['bios', 'uefi'], machine);
}

/** Throws AtomicError 'invalid' for a tree that lacks a tool it would need, or cannot get what the configuration says. */
export function requireInstaller(repo: Repo, commit: Checksum, ref: string, config: InstallConfig): void {
  checkConfig(repo, commit, ref, config);
  const has = (path: string): boolean => {
    try {
      lookup(repo, commit, path);
      return true;
    } catch {
      return false;
    }
  };
  const needed = [
    ...NEEDED,
    ...(config.users.length > 0 ? [NEEDED_FOR_USERS] : []),
    ...(config.remote?.['gpg-key'] === undefined ? [] : [NEEDED_FOR_KEYS]),
  ];
  const missing = needed.filter(([tool]) => !['/usr/sbin', '/usr/bin'].some((folder) => has(`${folder}/${tool}`)));
  if (missing.length === 0) return;
  throw new AtomicError(
    'invalid',
    `${ref} cannot install itself: it has no ${missing.map(([tool]) => tool).join(', ')}`,
    {
      hint: `add to its treefile: packages: [${[...new Set(missing.map(([, name]) => name))].join(', ')}]`,
    },
  );
}

/** Write what `compose install-disk` wants on a medium: boot loaders, the configuration, the tree's name. */
export async function writeInstaller(
  medium: string,
  options: {
    ref: string;
    config: InstallConfig;
    /** the tree's own, before the configuration's */
    kargs: readonly string[];
    machine: string;
    signal?: AbortSignal | undefined;
  },
): Promise<void> {
  const { ref, config, kargs, machine, signal } = options;
  const grub = join(medium, MEDIUM_INSTALL);
  await makeGrub(grub, { partition: MENU_PARTITION }, { firmware: ['bios', 'uefi'], machine, signal });
  // The size of the partition does not depend on the disk's.
  const { length } = planLayout(2 ** 32).esp;
  await makeEsp(join(medium, MEDIUM_ESP), length, { folder: grub, entries: ['EFI'], signal });
  await put(join(medium, MEDIUM_CONFIG), JSON.stringify(config), 0o600);
  // Apart from the configuration, so that another one in its place loses none of the tree's arguments.
  const tree: MediumTree = { ref, 'kernel-arguments': [...kargs] };
  await put(join(medium, MEDIUM_TREE), JSON.stringify(tree));
}

/** Has a live system install itself when it starts; `medium`: where it finds the installer, if not on a medium of its own. */
export async function enableInstaller(deployment: string, medium?: string): Promise<void> {
  const units = join(deployment, 'etc/systemd/system');
  await put(join(units, 'atomic-install.service'), unit(medium === undefined ? '' : ` --medium=${medium}`));
  await mkdir(join(units, 'multi-user.target.wants'), { recursive: true });
  await symlink('../atomic-install.service', join(units, 'multi-user.target.wants/atomic-install.service'));
}
