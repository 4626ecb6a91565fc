import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { folderInTree, inTree, listInTree, readInTree, writeInTree } from '../tree-files.ts';

/** Top-level folders that belong to the host, not to the tree: links into /var (or /run). */
const HOST_FOLDERS: readonly (readonly [string, string, string])[] = [
  // link, its text, mode of the folder it leads to
  ['home', 'var/home', '0755'],
  ['srv', 'var/srv', '0755'],
  ['mnt', 'var/mnt', '0755'],
  ['opt', 'var/opt', '0755'],
  ['root', 'var/roothome', '0700'],
  ['usr/local', '../var/usrlocal', '0755'],
];

/** Standard folders below /usr/local, which administrators expect to find. */
const USRLOCAL = ['bin', 'etc', 'include', 'lib', 'sbin', 'share', 'src'];

/** What a treefile may want otherwise. */
export interface LayoutOptions {
  /** `root`: /opt and /usr/local belong to the tree */
  optUsrlocal?: 'var' | 'root' | undefined;
  /** a folder of its own (the default), or a link to the disk's */
  tmpIsDir?: boolean | undefined;
  /** leave /boot alone: the tree is not booted */
  keepBoot?: boolean | undefined;
}

const hostFolders = ({ optUsrlocal }: LayoutOptions): typeof HOST_FOLDERS =>
  HOST_FOLDERS.filter(([folder]) => optUsrlocal !== 'root' || (folder !== 'opt' && folder !== 'usr/local'));

/** Moves what packages put into folders of the host to /var (from where it goes to the factory) and links them there. */
export function linkHostFolders(root: string, options: LayoutOptions = {}): void {
  for (const [folder, text] of hostFolders(options)) {
    const path = join(inTree(root, dirname(folder)), basename(folder));
    const inVar = inTree(root, text.replace(/^(\.\.\/)*/, ''));
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat?.isDirectory()) {
      mkdirSync(inVar, { recursive: true });
      for (const name of readdirSync(path)) {
        const target = join(inVar, name);
        if (lstatSync(target, { throwIfNoEntry: false }) !== undefined)
          throw new AtomicError(
            'invalid',
            `the tree has /${folder}/${name} and /${relative(root, target)}, which are one on a host`,
            {
              hint: ['opt', 'usr/local'].includes(folder)
                ? "remove one of them, or say 'opt-usrlocal: root' in the treefile"
                : 'remove one of them with a postprocess script',
            },
          );
        // A rename keeps owners and modes.
        renameSync(join(path, name), target);
      }
    }
    rmSync(path, { recursive: true, force: true });
    symlinkSync(text, path);
  }
  rmSync(join(root, 'media'), { recursive: true, force: true });
  symlinkSync('run/media', join(root, 'media'));
  rmSync(join(root, 'ostree'), { recursive: true, force: true });
  symlinkSync('sysroot/ostree', join(root, 'ostree'));
  for (const [name, mode] of [
    ['dev', 0o755],
    ['proc', 0o755],
    ['sys', 0o755],
    ['run', 0o755],
    ['tmp', 0o1777],
    ['boot', 0o755],
    ['sysroot', 0o755],
  ] as const) {
    if (name === 'boot' && options.keepBoot) continue;
    rmSync(join(root, name), { recursive: true, force: true });
    if (name === 'tmp' && options.tmpIsDir === false) {
      symlinkSync('sysroot/tmp', join(root, 'tmp'));
      continue;
    }
    mkdirSync(join(root, name));
    chmodSync(join(root, name), mode);
  }
}

/** tmpfiles.d(5) lines for the folders behind those links, and for the package database inside /usr. */
export function layoutTmpfiles(root: string, options: LayoutOptions = {}): string[] {
  const lines = hostFolders(options).map(
    ([, text, mode]) => `d /${text.replace(/^(\.\.\/)*/, '')} ${mode} root root - -`,
  );
  if (options.optUsrlocal !== 'root')
    for (const name of USRLOCAL) lines.push(`d /var/usrlocal/${name} 0755 root root - -`);
  lines.push('d /run/media 0755 root root - -');
  if (existsSync(join(root, 'usr/lib/sysimage/dpkg'))) {
    lines.push(
      'd /var/lib 0755 root root - -',
      'L+ /var/lib/dpkg - - - - ../../usr/lib/sysimage/dpkg',
      'd /var/lib/apt/lists/partial 0755 root root - -',
      'd /var/cache/apt/archives/partial 0755 root root - -',
      'd /var/backups 0755 root root - -',
    );
  }
  return lines;
}

/** Writes those lines, and mounts a tmpfs on /tmp: a tree has no /tmp of its own. */
export function writeLayoutFiles(root: string, options: LayoutOptions = {}): void {
  // "00": before the lines of packages for the same paths, such as Debian's `q /home`, which must not win.
  writeInTree(
    root,
    'usr/lib/tmpfiles.d/00-atomic-layout.conf',
    `# Folders of the host behind the links of the tree.\n${layoutTmpfiles(root, options).join('\n')}\n`,
  );
  // systemd's own lines for /home and /srv insist on directories; those above take their place.
  rmSync(join(inTree(root, 'usr/lib/tmpfiles.d'), 'home.conf'), { force: true });
  if (options.tmpIsDir === false) return;
  const units = 'usr/lib/systemd/system';
  if (!existsSync(join(inTree(root, units), 'tmp.mount'))) {
    const unit = readInTree(root, 'usr/share/systemd/tmp.mount');
    if (unit === undefined) return;
    writeInTree(root, `${units}/tmp.mount`, unit);
  }
  const wanted = join(folderInTree(root, `${units}/local-fs.target.wants`), 'tmp.mount');
  rmSync(wanted, { force: true });
  symlinkSync('../tmp.mount', wanted);
}

/**
 * Removes from /etc what belongs to one machine, or to the machine that installed. Call it when packages are installed, before
 * anything that somebody asked for comes there.
 */
export function cleanEtc(root: string): void {
  const etc = inTree(root, 'etc');
  for (const name of ['mtab.lock', 'adjtime', 'fstab', 'hostname', 'ld.so.cache~', '.updated'])
    rmSync(join(etc, name), { force: true });
  for (const name of listInTree(root, 'etc/ssh')) {
    if (/^ssh_host_.*_key(\.pub)?$/.test(name)) rmSync(join(etc, 'ssh', name));
  }
  // mmdebstrap leaves this machine's; a link to where systemd-resolved writes is the tree's own.
  const resolver = join(etc, 'resolv.conf');
  if (lstatSync(resolver, { throwIfNoEntry: false })?.isFile()) rmSync(resolver);
}

/** Files in /etc that every tree has. */
export function settleEtc(root: string, machineId = true): void {
  const etc = inTree(root, 'etc');
  // Empty, not missing: systemd then makes an id at boot, and does not take every boot for the first.
  if (machineId) writeInTree(root, 'etc/machine-id', '');
  else rmSync(join(etc, 'machine-id'), { force: true });
  if (lstatSync(join(etc, 'fstab'), { throwIfNoEntry: false }) === undefined)
    writeInTree(root, 'etc/fstab', '# The root file system is mounted by the initramfs; add others here.\n');
}

/** /etc of a tree is /usr/etc: the defaults that each deployment's /etc is merged from. */
export function moveEtc(root: string): void {
  const defaults = join(inTree(root, 'usr'), 'etc');
  if (lstatSync(defaults, { throwIfNoEntry: false }) !== undefined)
    throw new AtomicError('invalid', 'the tree has a /usr/etc already; /etc is moved there by compose');
  renameSync(inTree(root, 'etc'), defaults);
}

/** Drops what differs from run to run and what is worthless in a tree whose files all carry the time 0. */
export function sweep(root: string): void {
  const walk = (path: string): void => {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      const full = join(path, entry.name);
      if (entry.isDirectory()) {
        // Python checks .pyc against the source's time, which ostree does not keep.
        if (entry.name === '__pycache__') rmSync(full, { recursive: true });
        else walk(full);
      } else if (entry.isSocket() || entry.isFIFO() || entry.isBlockDevice() || entry.isCharacterDevice()) {
        const kind = entry.isSocket() ? 'a socket' : entry.isFIFO() ? 'a fifo' : 'a device';
        throw new AtomicError('invalid', `/${full.slice(root.length + 1)} is ${kind}, which a tree cannot hold`, {
          hint: 'remove it with remove-files or a postprocess script, and make it at boot with tmpfiles.d',
        });
      }
    }
  };
  walk(root);
}

/** Sets the version in os-release(5): OSTREE_VERSION always; VERSION and PRETTY_NAME when `releasever` is to be replaced. */
export function setOsRelease(root: string, version: string, releasever: string | undefined): void {
  const path = ['usr/lib/os-release', 'usr/etc/os-release', 'etc/os-release']
    .map((p) => join(inTree(root, dirname(p)), basename(p)))
    .find((p) => lstatSync(p, { throwIfNoEntry: false })?.isFile());
  if (path === undefined) return;
  const lines = readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !/^OSTREE_VERSION=/.test(line));
  const changed = lines.map((line) =>
    releasever !== undefined && /^(VERSION|PRETTY_NAME)=/.test(line) ? line.replace(releasever, version) : line,
  );
  writeInTree(root, relative(root, path), `${[...changed, `OSTREE_VERSION='${version}'`].join('\n')}\n`);
  const etc = inTree(root, 'etc');
  const link = join(etc, 'os-release');
  if (lstatSync(link, { throwIfNoEntry: false }) === undefined && existsSync(etc))
    symlinkSync('../usr/lib/os-release', link);
}
