import { existsSync, lstatSync, mkdirSync, readdirSync, statfsSync, statSync } from 'node:fs';
import { errnoCode } from '@atomic/linux';
import { AtomicError } from '@atomic/ostree';
import type { Deployment, SysrootState } from './deployment.ts';
import { findKernel, missingBytes } from './kernel.ts';
import { OVERLAYS, overlaySource } from './overlay-initrd.ts';
import type { Sysroot } from './sysroot.ts';

/** What files take that are not counted one by one: boot entries, folders (libostree's EARLY_PRUNE_SAFETY_MARGIN_SIZE). */
const MARGIN = 1 << 20;

/** ext2 to ext4: root may use the blocks that are reserved (statfs(2)). */
const EXT4_MAGIC = 0xef53;

/** Whether a list of deployments fits into /boot; all in bytes. */
export interface BootSpace {
  /** What kernels and initramfs images of the list take that are not there yet, with a margin; 0 when all are there. */
  needed: number;
  free: number;
  /** Held by kernels that only deployments have which are on their way out. */
  reclaimable: number;
  /** The deployments that stay meanwhile: those written now that the list has, or that cost nothing. */
  keep: Deployment[];
}

function freeBytes(folder: string): number {
  const { type, bavail, bfree, bsize } = statfsSync(folder);
  return (type === EXT4_MAGIC && process.geteuid?.() === 0 ? bfree : bavail) * bsize;
}

/** Bytes that a file or folder takes on its disk; 0 when it is not there. */
function allocated(path: string): number {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return 0;
  const inside = stat.isDirectory() ? readdirSync(path).map((name) => allocated(`${path}/${name}`)) : [];
  return inside.reduce((sum, size) => sum + size, stat.blocks * 512);
}

/** Where a deployment's kernel lies in /boot. */
export const kernelFolder = (sysroot: Sysroot, { os, bootChecksum }: Deployment): string =>
  `${sysroot.layout.kernels}/${os}-${bootChecksum}`;

/** Looks how a list of deployments, whose trees are there, fits into /boot beside what is written now. */
export function measureBootSpace(sysroot: Sysroot, state: SysrootState, list: readonly Deployment[]): BootSpace {
  const { layout } = sysroot;
  mkdirSync(layout.kernels, { recursive: true, mode: 0o755 });
  const { bsize } = statfsSync(layout.boot);
  const device = statSync(layout.boot).dev;
  const missing = new Map<string, number>();
  for (const deployment of list) {
    const folder = kernelFolder(sysroot, deployment);
    if (!missing.has(folder)) {
      const kernel = findKernel(layout.deployment(deployment), sysroot);
      missing.set(folder, missingBytes(kernel, folder, bsize, device));
    }
    for (const checksum of deployment.overlayInitrds) {
      const path = `${layout.boot}/${OVERLAYS}/${checksum}.img`;
      if (existsSync(path)) continue;
      const size = statSync(overlaySource(sysroot, checksum), { throwIfNoEntry: false })?.size ?? 0;
      missing.set(path, Math.ceil(size / bsize) * bsize);
    }
  }
  const bytes = [...missing.values()].reduce((sum, size) => sum + size, 0);
  const wanted = new Set(list.map(({ bootChecksum }) => bootChecksum));
  const written = state.deployments.filter(({ staged }) => !staged);
  const keep = written.filter(({ booted, bootChecksum }) => booted || wanted.has(bootChecksum));
  const stays = new Set(keep.map((deployment) => kernelFolder(sysroot, deployment)));
  const leaves = new Set(written.map((one) => kernelFolder(sysroot, one)).filter((folder) => !stays.has(folder)));
  const reclaimable = [...leaves].reduce((sum, folder) => sum + allocated(folder), 0);
  return { needed: bytes === 0 ? 0 : bytes + MARGIN, free: freeBytes(layout.boot), reclaimable, keep };
}

const mib = (size: number) => `${(size / 1048576).toFixed(1)} MiB`;

/** Refuses a list for which there is no room even when all that is on its way out is given up: throws `no-space`. */
export function requireBootSpace(sysroot: Sysroot, space: BootSpace): void {
  const { needed, free, reclaimable } = space;
  const lacking = needed - free - reclaimable;
  if (needed === 0 || lacking <= 0) return;
  throw new AtomicError(
    'no-space',
    `not enough space in ${sysroot.layout.boot}: kernel and initramfs need ${mib(needed)}, ` +
      `${mib(free + reclaimable)} can be had; free ${mib(lacking)} more. Nothing was changed`,
    { hint: `what takes most there: ${largest(sysroot, space.keep).join('; ')}` },
  );
}

/** The largest things in /boot that somebody could remove, largest first, each with how. */
function largest(sysroot: Sysroot, keep: readonly Deployment[]): string[] {
  const found: { size: number; text: string }[] = [];
  const seen = new Set<string>();
  for (const deployment of keep) {
    const folder = kernelFolder(sysroot, deployment);
    const size = allocated(folder);
    if (size === 0 || seen.has(folder)) continue;
    seen.add(folder);
    const { index, version, checksum, booted, pinned } = deployment;
    const name = `deployment ${index} (${version ?? checksum.slice(0, 10)})`;
    const how = booted
      ? ', which runs'
      : `: ${pinned ? `ostree admin pin --unpin ${index}, then ` : ''}ostree admin undeploy ${index}`;
    found.push({ size, text: `${mib(size)} ${name}${how}` });
  }
  for (const name of others(sysroot.layout.boot)) {
    const path = `${sysroot.layout.boot}/${name}`;
    found.push({ size: allocated(path), text: `${mib(allocated(path))} ${path}, which is no deployment's` });
  }
  return found
    .sort((a, b) => b.size - a.size)
    .slice(0, 4)
    .map(({ text }) => text);
}

/** What others put into /boot; boot loaders' own files and what is on another file system (the ESP) are left out. */
function others(boot: string): string[] {
  const ours = /^(ostree|loader(\.[01])?|boot|grub2?|efi|syslinux|lost\+found)$/;
  const { dev } = statSync(boot);
  try {
    return readdirSync(boot).filter((name) => !ours.test(name) && lstatSync(`${boot}/${name}`).dev === dev);
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return [];
    throw error;
  }
}
