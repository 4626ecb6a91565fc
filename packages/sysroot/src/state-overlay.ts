import { lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { lgetxattr, lsetxattr, mount } from '@atomic/linux';
import { AtomicError, isChecksum } from '@atomic/ostree';
import type { Sysroot } from './sysroot.ts';

const CHECKSUM_ATTRIBUTE = 'user.ostree.deploymentcsum';

/**
 * Mounts a writable overlay on a folder of the tree (as packages that write to /opt need), its upper layer in
 * `/var/ostree/state-overlays/NAME`. When the tree has changed since, what in the upper layer hides files of the new
 * tree is removed; what is only there stays. Run by ostree-state-overlay@.service. Throws `invalid` when nothing is
 * booted, or for a name that is a path.
 */
export function mountStateOverlay(
  sysroot: Sysroot,
  name: string,
  target: string,
  options: { folder?: string; mount?: typeof mount } = {},
): void {
  const { booted } = sysroot.load();
  if (booted === null) throw new AtomicError('invalid', 'Must be booted into an OSTree deployment');
  if (name === '' || name === '.' || name === '..' || /[/,:\\\0]/.test(name)) {
    throw new AtomicError('invalid', `'${name}' is not a name for a state overlay`);
  }
  const folder = `${options.folder ?? '/var/ostree/state-overlays'}/${name}`;
  const upper = `${folder}/upper`;
  const work = `${folder}/work`;
  mkdirSync(upper, { recursive: true, mode: 0o700 });
  mkdirSync(work, { recursive: true, mode: 0o700 });
  const seen = lgetxattr(upper, CHECKSUM_ATTRIBUTE)?.toString();
  if (seen === undefined || !isChecksum(seen) || seen !== booted.checksum) {
    pruneUpper(target, upper);
    lsetxattr(upper, CHECKSUM_ATTRIBUTE, Buffer.from(booted.checksum));
  }
  const mountOverlay = options.mount ?? mount;
  mountOverlay('overlay', target, 'overlay', 0, `lowerdir=${target},upperdir=${upper},workdir=${work}`);
}

const isOpaque = (path: string): boolean => lgetxattr(path, 'trusted.overlay.opaque')?.toString() === 'y';

/** Removes from an upper layer what hides something of the lower one; folders on both sides merge. */
export function pruneUpper(lower: string, upper: string): void {
  for (const entry of readdirSync(upper, { withFileTypes: true })) {
    const below = lstatSync(`${lower}/${entry.name}`, { throwIfNoEntry: false });
    if (below === undefined) continue;
    const path = `${upper}/${entry.name}`;
    if (entry.isDirectory() && below.isDirectory() && !isOpaque(path)) pruneUpper(`${lower}/${entry.name}`, path);
    else rmSync(path, { recursive: true, force: true });
  }
}
