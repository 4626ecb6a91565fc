import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { AtomicError, type Checksum } from '@atomic/ostree';
import { type CpioEntry, makeCpio } from './cpio.ts';
import { stageOverlayInitrd } from './overlay-initrd.ts';
import type { Sysroot } from './sysroot.ts';

/** Checks a path of /etc that is to go into the initramfs; throws `invalid`. Returns it relative to /etc. */
export function pathInEtc(path: string): string {
  const parts = path.split('/');
  if (parts[0] !== '' || parts[1] !== 'etc' || parts.length < 3) {
    throw new AtomicError('invalid', `Path outside /etc forbidden: ${path}`);
  }
  const inside = parts.slice(2);
  if (inside.some((part) => part === '' || part === '.' || part === '..')) {
    throw new AtomicError('invalid', `invalid path ${path}: must be canonical`);
  }
  return inside.join('/');
}

function gather(etc: string, files: readonly string[]): CpioEntry[] {
  const found = new Map<string, CpioEntry>();
  const add = (path: string, below: boolean) => {
    const full = path === '' ? etc : `${etc}/${path}`;
    const stat = lstatSync(full, { throwIfNoEntry: false });
    if (stat === undefined) {
      throw new AtomicError('not-found', `/etc/${path} is to go into the initramfs, but is not there`, {
        hint: `stop following it with: atomic host initramfs-etc --untrack /etc/${path}`,
      });
    }
    if (!stat.isFile() && !stat.isDirectory() && !stat.isSymbolicLink()) {
      throw new AtomicError('invalid', `Invalid non-regfile/symlink/directory: /etc/${path}`);
    }
    const name = path === '' ? 'etc' : `etc/${path}`;
    const content = stat.isFile()
      ? readFileSync(full)
      : stat.isSymbolicLink()
        ? readlinkSync(full, 'buffer')
        : Buffer.alloc(0);
    found.set(name, { name, mode: stat.mode, uid: stat.uid, gid: stat.gid, content });
    if (below && stat.isDirectory()) for (const child of readdirSync(full).sort()) add(`${path}/${child}`, true);
  };
  add('', false);
  for (const file of [...new Set(files.map(pathInEtc))].sort()) {
    const parts = file.split('/');
    // The kernel makes no folders by itself.
    for (let n = 1; n < parts.length; n++) add(parts.slice(0, n).join('/'), false);
    add(file, true);
  }
  return [...found.values()];
}

/**
 * Makes an image of files of `etc` for the initramfs and keeps it for the deployment to come; returns its checksum.
 * Throws `not-found` for a file that is not there, `invalid` for a path outside /etc.
 */
export function stageEtcOverlay(sysroot: Sysroot, etc: string, files: readonly string[]): Checksum {
  const image = gzipSync(makeCpio(gather(etc, files)), { level: 6 });
  mkdirSync(sysroot.stagedInitrds, { recursive: true, mode: 0o755 });
  const aside = `${sysroot.stagedInitrds}/.etc-${process.pid}`;
  try {
    writeFileSync(aside, image, { mode: 0o600 });
    return stageOverlayInitrd(sysroot, aside);
  } finally {
    rmSync(aside, { force: true });
  }
}
