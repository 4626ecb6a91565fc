import { readFileSync, realpathSync, statSync } from 'node:fs';

/** One mount that a process sees. */
export interface Mounted {
  point: string;
  /** The folder of the file system that is mounted there. */
  root: string;
  /** MAJOR:MINOR of the file system. */
  device: string;
  /** What was mounted: a device file for most. */
  source: string;
  readOnly: boolean;
  /** Mounts that come later below it are seen elsewhere, too, or come from elsewhere. */
  shared: boolean;
}

/** Blanks in paths come as octal numbers. */
const plain = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

/** The mounts that this process sees, later ones over earlier ones. Format of the text: proc_pid_mountinfo(5). */
export function readMounts(text: string = readFileSync('/proc/self/mountinfo', 'utf8')): Mounted[] {
  return text.split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ');
    const [, , device, root, point, options, ...optional] = before.split(' ');
    if (device === undefined || root === undefined || point === undefined) return [];
    return [
      {
        point: plain(point),
        root: plain(root),
        device,
        source: plain(after.split(' ')[1] ?? ''),
        readOnly: options?.split(',').includes('ro') === true,
        shared: optional.some((field) => /^(?:shared|master):/.test(field)),
      },
    ];
  });
}

/** The mount that a path, absolute and without links, is on. */
export function mountOf(path: string, mounts: readonly Mounted[] = readMounts()): Mounted | undefined {
  let best: Mounted | undefined;
  for (const mount of mounts) {
    if (below(path, mount.point) === undefined) continue;
    if (best === undefined || mount.point.length >= best.point.length) best = mount;
  }
  return best;
}

/**
 * A folder by the path it has on the mount that `other` is on; null where it has none there. Between two mounts the kernel
 * makes no hard link (EXDEV), even if they are of one file system: /var of a host is a mount of a folder of /sysroot. Null as
 * well where nothing could be written by that path, and could by the other.
 */
export function throughMountOf(folder: string, other: string): string | null {
  const mounts = readMounts();
  const path = realpathSync(folder);
  const from = mountOf(path, mounts);
  const to = mountOf(realpathSync(other), mounts);
  if (from === undefined || to === undefined || from.device !== to.device) return null;
  if (from === to) return path;
  if (to.readOnly && !from.readOnly) return null;
  const inside = join(from.root, below(path, from.point) ?? '');
  const rest = below(inside, to.root);
  if (rest === undefined) return null;
  const candidate = join(to.point, rest);
  // Something else may be mounted over it there.
  const [one, two] = [statSync(path), statSync(candidate, { throwIfNoEntry: false })];
  return one.dev === two?.dev && one.ino === two.ino && mountOf(candidate, mounts) === to ? candidate : null;
}

/** What remains of a path below a folder; undefined: it is not there. */
function below(path: string, folder: string): string | undefined {
  if (folder === '/') return path.slice(1);
  if (path === folder) return '';
  return path.startsWith(`${folder}/`) ? path.slice(folder.length + 1) : undefined;
}

const join = (folder: string, rest: string): string => (rest === '' ? folder : `${folder.replace(/\/$/, '')}/${rest}`);
