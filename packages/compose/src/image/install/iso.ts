import { mkdtemp, rename, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { asArray, asString, type Checksum, type Progress, type Repo } from '@atomic/ostree';
import { grubWord } from '@atomic/sysroot';
import { machineOf } from '../../commit-metadata.ts';
import { checkOutput, settle } from '../../output.ts';
import { MEDIUM_KARG, MEDIUM_LABEL, MEDIUM_ROOT_IMAGE } from '../live/live-initrd.ts';
import { makeLiveSystem, put, removeScratch } from '../live/live-root.ts';
import { requireRootFor } from '../live/pxe.ts';
import { phases } from '../populate.ts';
import { requireTools, run } from '../tools.ts';
import type { InstallConfig } from './config.ts';
import { enableInstaller, requireInstallable, requireInstaller, writeInstaller } from './installer.ts';

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
  requireInstallable(machine);
  if (config !== undefined) requireInstaller(repo, commit, ref, config);
  const out = await checkOutput(options.out, 'file');
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
        if (config !== undefined) await enableInstaller(folder);
      },
    });
    await phase('medium', async () => {
      await put(join(medium, MEDIUM_LABEL), `${label}\n`);
      await put(join(medium, 'live/vmlinuz'), live.kernel);
      await put(join(medium, 'live/initrd.img'), live.initrd);
      await rename(live.rootImage, join(medium, MEDIUM_ROOT_IMAGE));
      await put(join(medium, 'boot/grub/grub.cfg'), menu(live.commandLine, config !== undefined));
      if (config !== undefined) await writeInstaller(medium, { ref, config, kargs, machine, signal });
      const file = join(scratch, 'iso');
      await run('grub-mkrescue', ['-o', file, medium, '-volid', label, '-iso-level', '3'], { signal });
      signal?.throwIfAborted();
      await settle(file, out);
    });
    const { size } = await stat(out);
    return { out: options.out, ref, commit, version: live.version, size, label, seconds };
  } finally {
    await removeScratch(scratch);
  }
}

/** What a tree says its kernel needs. */
export function treeKargs(repo: Repo, commit: Checksum): string[] {
  const own = repo.loadCommit(commit).metadata.get('atomic.kernel-arguments');
  return own === undefined ? [] : asArray(own.value).map(asString);
}

/** GRUB's menu of a medium. */
export function menu(commandLine: readonly string[], installs: boolean): string {
  const entry = (title: string, ...more: string[]): string =>
    [
      `menuentry '${title}' {`,
      `  linux /live/vmlinuz ${[...commandLine, ...more].map(grubWord).join(' ')}`,
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
