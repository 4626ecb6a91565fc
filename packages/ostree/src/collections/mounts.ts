import { readFileSync } from 'node:fs';

/** File systems that hold no one's data, or only this machine's own. */
const PSEUDO = new Set([
  'autofs',
  'binfmt_misc',
  'bpf',
  'cgroup',
  'cgroup2',
  'configfs',
  'debugfs',
  'devpts',
  'devtmpfs',
  'efivarfs',
  'erofs',
  'fusectl',
  'hugetlbfs',
  'mqueue',
  'nsfs',
  'overlay',
  'proc',
  'pstore',
  'ramfs',
  'rootfs',
  'rpc_pipefs',
  'securityfs',
  'selinuxfs',
  'squashfs',
  'sysfs',
  'tmpfs',
  'tracefs',
]);

/** Folders under which a mount belongs to the system; removable media are not mounted there, but below /run/media. */
const SYSTEM =
  /^\/(|(bin|boot|dev|efi|etc|home|lib\w*|nix|opt|ostree|proc|root|sbin|snap|srv|sys|sysroot|tmp|usr|var)(\/.*)?|run(?!\/media\/).*)$/;

/**
 * Mount points of volumes that people plug in, as desktops show them: real file systems outside the system's own
 * folders. `table` is the text of /proc/self/mountinfo.
 */
export function userMounts(table: string = readFileSync('/proc/self/mountinfo', 'utf8')): string[] {
  const found = new Set<string>();
  for (const line of table.split('\n')) {
    const [before, after] = line.split(' - ');
    const path = decodeOctal(before?.split(' ')[4] ?? '');
    const type = after?.split(' ')[0] ?? '';
    if (path.startsWith('/') && !PSEUDO.has(type) && !SYSTEM.test(path)) found.add(path);
  }
  return [...found].sort();
}

const decodeOctal = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)));
