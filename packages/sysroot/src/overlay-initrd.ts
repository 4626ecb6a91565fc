import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fdatasyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { AtomicError, type Checksum } from '@atomic/ostree';
import type { Deployment } from './deployment.ts';
import type { Sysroot } from './sysroot.ts';

/**
 * Initramfs images that are loaded after a tree's own (`deploy --overlay-initrd`). They are no part of any tree: they
 * lie in /boot under their checksum, and in /run from the moment they are given until the entry is written.
 */
export const OVERLAYS = 'ostree/initramfs-overlays';

const CHUNK = 1 << 20;

/** Keeps a copy of an image for the deployment to come; returns its checksum. */
export function stageOverlayInitrd(sysroot: Sysroot, path: string): Checksum {
  mkdirSync(sysroot.stagedInitrds, { recursive: true, mode: 0o755 });
  const aside = `${sysroot.stagedInitrds}/.${randomBytes(6).toString('hex')}.tmp`;
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(CHUNK);
  const from = openSync(path, constants.O_RDONLY);
  try {
    const to = openSync(aside, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o644);
    try {
      for (;;) {
        const n = readSync(from, buffer, 0, CHUNK, null);
        if (n === 0) break;
        hash.update(buffer.subarray(0, n));
        for (let at = 0; at < n; ) at += writeSync(to, buffer, at, n - at);
      }
    } finally {
      closeSync(to);
    }
    const checksum = hash.digest('hex');
    renameSync(aside, `${sysroot.stagedInitrds}/${checksum}`);
    return checksum;
  } finally {
    closeSync(from);
    rmSync(aside, { force: true });
  }
}

/** Where an image is until the entry is written. */
export const overlaySource = (sysroot: Sysroot, checksum: Checksum): string => `${sysroot.stagedInitrds}/${checksum}`;

/** Puts a deployment's images into /boot, each whole under its name; throws `not-found` when one is nowhere. */
export function installOverlayInitrds(sysroot: Sysroot, deployment: Deployment): void {
  if (deployment.overlayInitrds.length === 0) return;
  const folder = `${sysroot.layout.boot}/${OVERLAYS}`;
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  for (const checksum of deployment.overlayInitrds) {
    const path = `${folder}/${checksum}.img`;
    if (existsSync(path)) continue;
    const source = overlaySource(sysroot, checksum);
    if (!existsSync(source)) {
      throw new AtomicError('not-found', `the overlay initramfs ${checksum} is neither in ${folder} nor in /run`, {
        hint: 'deploy again with --overlay-initrd',
      });
    }
    const aside = `${folder}/.${checksum}.tmp`;
    copyFileSync(source, aside);
    const fd = openSync(aside, constants.O_RDONLY);
    try {
      fdatasyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(aside, path);
  }
}

/** Removes images from /boot that no deployment uses. */
export function removeOldOverlays(sysroot: Sysroot, deployments: readonly Deployment[]): void {
  const folder = `${sysroot.layout.boot}/${OVERLAYS}`;
  if (!existsSync(folder)) return;
  const used = new Set(
    deployments.flatMap(({ overlayInitrds }) => overlayInitrds.map((checksum) => `${checksum}.img`)),
  );
  for (const name of readdirSync(folder)) if (!used.has(name)) rmSync(`${folder}/${name}`, { force: true });
}
