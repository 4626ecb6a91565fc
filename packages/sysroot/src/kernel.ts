import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fchmodSync,
  fchownSync,
  fdatasyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename } from 'node:path';
import { errnoCode } from '@atomic/linux';
import { AtomicError, isChecksum } from '@atomic/ostree';

/** One file of a kernel: where it is in the tree and what it is called in /boot. */
interface BootFile {
  source: string;
  name: string;
}

/** A kernel in a tree. `checksum` is BOOTCSUM when the file names carry it (the old layouts). */
export interface KernelLayout {
  kernel: BootFile;
  initramfs: BootFile | null;
  devicetree: BootFile | null;
  /** A folder of device trees, used whole. */
  devicetrees: BootFile | null;
  hmac: BootFile | null;
  /** An Android boot image; not part of the checksum. */
  aboot: BootFile | null;
  checksum: string | null;
}

const list = (folder: string): string[] => {
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    if (errnoCode(error) === 'ENOENT' || errnoCode(error) === 'ENOTDIR') return [];
    throw error;
  }
};

const isFolder = (path: string) => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
const isFile = (path: string) => statSync(path, { throwIfNoEntry: false })?.isFile() === true;

function inModules(tree: string, noDtb: boolean): KernelLayout | null {
  for (const version of list(`${tree}/usr/lib/modules`)) {
    const folder = `${tree}/usr/lib/modules/${version}`;
    if (!isFile(`${folder}/vmlinuz`)) continue;
    const optional = (file: string, name: string): BootFile | null =>
      existsSync(`${folder}/${file}`) ? { source: `${folder}/${file}`, name } : null;
    const devicetree = noDtb ? null : optional('devicetree', `devicetree-${version}`);
    return {
      kernel: { source: `${folder}/vmlinuz`, name: `vmlinuz-${version}` },
      initramfs:
        optional('initramfs.img', `initramfs-${version}.img`) ?? optional('initramfs', `initramfs-${version}.img`),
      devicetree,
      devicetrees: devicetree === null && !noDtb && isFolder(`${folder}/dtb`) ? optional('dtb', 'dtb') : null,
      hmac: optional('.vmlinuz.hmac', `.vmlinuz-${version}.hmac`),
      aboot: optional('aboot.img', `aboot-${version}.img`),
      checksum: null,
    };
  }
  return null;
}

/** Before /usr/lib/modules was the place, file names ended in the boot checksum. */
function inOldPlaces(tree: string): KernelLayout | null {
  const folder = [`${tree}/usr/lib/ostree-boot`, `${tree}/boot`].find((path) => existsSync(path));
  if (folder === undefined) return null;
  const find = (prefix: string) => {
    for (const name of list(folder)) {
      const checksum = name.slice(name.lastIndexOf('-') + 1);
      if (name.startsWith(prefix) && isChecksum(checksum)) {
        return { source: `${folder}/${name}`, name: name.slice(0, -65), checksum };
      }
    }
    return null;
  };
  const kernel = find('vmlinuz-');
  if (kernel === null) return null;
  const initramfs = find('initramfs-');
  const devicetree = find('devicetree-');
  if (initramfs !== null && initramfs.checksum !== kernel.checksum) {
    throw new AtomicError('invalid', 'Mismatched kernel checksum vs initrd');
  }
  if (devicetree !== null && devicetree.checksum !== kernel.checksum) {
    throw new AtomicError('invalid', 'Mismatched kernel checksum vs device tree in tree');
  }
  return { kernel, initramfs, devicetree, devicetrees: null, hmac: null, aboot: null, checksum: kernel.checksum };
}

/** Finds kernel and initramfs in a checked-out tree, as libostree does; throws `not-found`. */
export function findKernel(tree: string, options: { noDtb?: boolean | undefined } = {}): KernelLayout {
  const modules = inModules(tree, options.noDtb === true);
  const old = inOldPlaces(tree);
  if (modules !== null && (modules.initramfs !== null || old?.initramfs == null)) return modules;
  const found = old ?? modules;
  if (found !== null) return found;
  throw new AtomicError('not-found', 'Failed to find kernel in /usr/lib/modules, /usr/lib/ostree-boot or /boot', {
    hint: 'the tree cannot boot: compose it with a kernel package',
  });
}

const CHUNK = 1 << 20;

/** BOOTCSUM: SHA-256 over kernel, initramfs and device trees, one after the other. */
export function bootChecksum(layout: KernelLayout): string {
  if (layout.checksum !== null) return layout.checksum;
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(CHUNK);
  const add = (path: string) => {
    const fd = openSync(path, constants.O_RDONLY);
    try {
      for (;;) {
        const n = readSync(fd, buffer, 0, CHUNK, null);
        if (n === 0) break;
        hash.update(buffer.subarray(0, n));
      }
    } finally {
      closeSync(fd);
    }
  };
  const addFolder = (folder: string) => {
    for (const name of list(folder)) {
      if (lstatSync(`${folder}/${name}`).isDirectory()) addFolder(`${folder}/${name}`);
      else add(`${folder}/${name}`);
    }
  };
  add(layout.kernel.source);
  if (layout.initramfs !== null) add(layout.initramfs.source);
  if (layout.devicetree !== null) add(layout.devicetree.source);
  if (layout.devicetrees !== null) addFolder(layout.devicetrees.source);
  return hash.digest('hex');
}

/** The files of a kernel with the names they get in /boot, folders walked. */
function bootFiles(layout: KernelLayout): BootFile[] {
  const files: BootFile[] = [];
  const walk = (file: BootFile) => {
    if (!statSync(file.source).isDirectory()) files.push(file);
    else for (const name of list(file.source)) walk({ source: `${file.source}/${name}`, name: `${file.name}/${name}` });
  };
  const { kernel, initramfs, devicetree, devicetrees, hmac, aboot } = layout;
  for (const file of [kernel, initramfs, devicetree, devicetrees, hmac, aboot]) {
    if (file !== null) walk(file);
  }
  return files;
}

/**
 * Bytes that installing this kernel into `folder` of the device `boot` would take, in whole blocks; on the tree's own
 * device it takes links only.
 */
export function missingBytes(layout: KernelLayout, folder: string, blockSize: number, boot: number): number {
  let bytes = 0;
  for (const { source, name } of bootFiles(layout)) {
    const { dev, size } = statSync(source);
    if (dev !== boot && !existsSync(`${folder}/${name}`)) bytes += Math.ceil(size / blockSize) * blockSize;
  }
  return bytes;
}

/** The files of a tree are never written to, so a link is as good as a copy. */
function linkInto(source: string, destination: string): boolean {
  // Of a symlink another name is no kernel.
  if (!lstatSync(source).isFile()) return false;
  try {
    linkSync(source, destination);
    return true;
  } catch (error) {
    if (['EXDEV', 'EMLINK', 'EPERM', 'EOPNOTSUPP'].includes(errnoCode(error) ?? '')) return false;
    throw error;
  }
}

const ASIDE = '.atomic-tmp-';

/**
 * Puts a kernel into its folder in /boot, files that are there excepted: by hard link where /boot is no partition of its
 * own, else each is written aside, flushed and renamed. So a file with its right name is whole; what a cut leaves is a
 * file aside, removed here by the next run.
 */
export function installKernel(layout: KernelLayout, folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o775 });
  for (const name of list(folder)) if (name.startsWith(ASIDE)) rmSync(`${folder}/${name}`, { force: true });
  for (const { source, name } of bootFiles(layout)) {
    const destination = `${folder}/${name}`;
    if (existsSync(destination)) continue;
    if (name.includes('/')) mkdirSync(destination.slice(0, destination.lastIndexOf('/')), { recursive: true });
    if (linkInto(source, destination)) continue;
    const aside = `${folder}/${ASIDE}${basename(name)}`;
    copyFileSync(source, aside, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    const stat = statSync(source);
    const fd = openSync(aside, constants.O_RDONLY);
    try {
      fchownSync(fd, stat.uid, stat.gid);
      fchmodSync(fd, stat.mode & 0o7777);
      fdatasyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(aside, destination);
  }
}
