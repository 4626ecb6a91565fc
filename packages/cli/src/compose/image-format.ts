import { extname } from 'node:path';
import { AtomicError } from '@atomic/ostree';

/** Formats that are not a disk's. */
const OTHERS = ['iso', 'pxe', 'tar'] as const;
type Other = (typeof OTHERS)[number];

/** What is said of an image: which of it counts depends on the format. */
export interface FormatOptions {
  format?: string;
  size?: string;
  os?: string;
  remoteName?: string;
  remoteUrl?: string;
  gpgImport?: string;
  signVerify?: string[];
  karg?: string[];
  firmware?: string[];
  bootloader?: string;
  bootSize?: string;
  installConfig?: string;
}

const DISK_ONLY = ['size', 'firmware', 'bootloader', 'bootSize'] as const;
const REMOTE = ['remoteUrl', 'remoteName', 'gpgImport', 'signVerify'] as const;
/** Nothing that is said is ignored in silence. */
const UNUSED: Record<Other | 'disk', readonly (keyof FormatOptions)[]> = {
  disk: ['installConfig'],
  iso: [...DISK_ONLY, ...REMOTE],
  pxe: DISK_ONLY,
  tar: [...DISK_ONLY, ...REMOTE, 'os', 'karg', 'installConfig'],
};

/**
 * The format of an image: the one that is said, or by the file's ending. Throws 'usage' for an ending that tells none,
 * and for an option that the format has no use for.
 */
export function chooseFormat<Disk extends string>(
  out: string,
  options: FormatOptions,
  disks: readonly Disk[],
): Disk | Other {
  const formats = [...disks, ...OTHERS];
  const named = options.format ?? byEnding(out);
  const format = formats.find((one) => one === named);
  if (format === undefined && options.format === undefined)
    throw new AtomicError('usage', `the ending of ${out} tells no format`, {
      hint: `name one with --format: ${formats.join(', ')}`,
    });
  if (format === undefined)
    throw new AtomicError('usage', `--format must be one of ${formats.join(', ')}, but is '${named}'`);
  const installs = format === 'pxe' && options.installConfig !== undefined;
  // The live system of a set that installs is gone when it has; what is installed goes by the configuration.
  const unused = [...UNUSED[OTHERS.find((one) => one === format) ?? 'disk'], ...(installs ? REMOTE : [])];
  const found = unused.find((key) => options[key] !== undefined);
  if (found !== undefined)
    throw new AtomicError(
      'usage',
      `${flag(found)} is not for ${installs ? 'a set that installs' : `the format ${format}`}`,
      {
        hint: installs || format === 'iso' ? hintFor(found) : undefined,
      },
    );
  const alone = options.remoteUrl === undefined ? REMOTE.find((key) => options[key] !== undefined) : undefined;
  if (alone !== undefined) throw new AtomicError('usage', `${flag(alone)} needs --remote-url`);
  return format;
}

function byEnding(out: string): string {
  if (/\.tar(\.gz|\.zst)?$/.test(out)) return 'tar';
  const ending = extname(out).slice(1);
  return ending === '' || ending === 'img' ? 'raw' : ending;
}

const flag = (key: string): string => `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

function hintFor(key: keyof FormatOptions): string | undefined {
  if (REMOTE.some((one) => one === key)) return "say 'remote' in the file of --install-config";
  return key === 'bootSize' ? "say 'boot-size' in the file of --install-config" : undefined;
}
