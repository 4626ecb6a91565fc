import type { Checksum, KeyFile } from '@atomic/ostree';
import type { BlsEntry, BootTries } from './bootloader/bls.ts';
import type { DeploymentId } from './layout.ts';
import type { UnlockedState } from './origin.ts';

/** A tree on the disk that the boot loader can start, or will be able to after the next shutdown (`staged`). */
export interface Deployment extends DeploymentId {
  /** Position in the boot order: 0 is the default. */
  index: number;
  /** SHA-256 of kernel and initramfs: names the folder in /boot they are in. */
  bootChecksum: string;
  /** Tells deployments apart that share a kernel. */
  bootSerial: number;
  /** Relative to the sysroot. */
  path: string;
  origin: KeyFile | null;
  /** Kernel arguments, without `ostree=`. */
  kargs: string[];
  /** Kernel arguments as the boot entry has them, with `ostree=` in its place; a new deployment may lack that. */
  commandLine: string[];
  /** The boot entry as it was read; null for a deployment not yet written out. */
  entry: BlsEntry | null;
  /** What its name says of boots to come, where they are counted; null for a deployment not yet written out. */
  tries: BootTries | null;
  /** SHA-256 of initramfs images loaded after the tree's own (`--overlay-initrd`), in order. */
  overlayInitrds: string[];
  /** The commit that came from elsewhere: what packages were layered on here, else the commit deployed. */
  base: Checksum;
  version: string | undefined;
  /** Of the base, in Unix seconds: versions are ordered by it; 0 when the commit is gone. */
  timestamp: number;
  booted: boolean;
  staged: boolean;
  /** Staged, but not to be switched to before somebody unlocks it. */
  finalizationLocked: boolean;
  /** What `systemctl soft-reboot` would start. */
  softRebootTarget: boolean;
  pinned: boolean;
  /** How /usr was made writable. */
  unlocked: UnlockedState;
  /** The first of its system, and not the one that runs, on a system that runs. */
  pending: boolean;
  /** The first of the same stateroot after the booted one. */
  rollback: boolean;
}

export const sameDeployment = (a: DeploymentId | null, b: DeploymentId | null): boolean =>
  a !== null && b !== null && a.os === b.os && a.checksum === b.checksum && a.serial === b.serial;

/** What a sysroot holds at one moment. */
export interface SysrootState {
  /** In boot order; a staged deployment comes first. */
  deployments: Deployment[];
  bootVersion: 0 | 1;
  subbootVersion: 0 | 1;
  booted: Deployment | null;
  staged: Deployment | null;
}
