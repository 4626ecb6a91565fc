import { AtomicError, type KeyFile } from '@atomic/ostree';

const BOOTLOADERS = ['auto', 'none', 'grub2', 'syslinux', 'uboot', 'zipl', 'aboot'] as const;
export type BootloaderName = (typeof BOOTLOADERS)[number];

/** `[sysroot]` of the repository's config (man ostree.repo-config), and `[atomic] bootloader`, our GRUB menu. */
export interface SysrootConfig {
  bootloader: BootloaderName;
  /** Whether `/boot` paths in boot entries start with /boot (one partition) or not. */
  bootPrefix: boolean;
  /** Boots that a new entry gets to prove itself; 0: entries are not counted; undefined: not said. */
  bootCountingTries: number | undefined;
  /** Keys added to every entry but the default one's. */
  blsAppendExceptDefault: [key: string, value: string][];
  /** Whether a GRUB menu is written beside the boot entries. */
  grubMenu: boolean;
}

/** Throws `invalid` for a value that is none. */
export function readSysrootConfig(config: KeyFile): SysrootConfig {
  const name = config.get('sysroot', 'bootloader') ?? 'auto';
  const bootloader = BOOTLOADERS.find((known) => known === name);
  if (bootloader === undefined) {
    throw new AtomicError('invalid', `Invalid bootloader configuration: '${name}'`, {
      hint: `sysroot.bootloader is one of ${BOOTLOADERS.join(', ')}`,
    });
  }
  const tries = config.get('sysroot', 'boot-counting-tries');
  if (tries !== undefined && !/^[0-5]$/.test(tries)) {
    throw new AtomicError('invalid', `Parsing sysroot.boot-counting-tries: Number “${tries}” is out of bounds [0, 5]`);
  }
  const append = (config.get('sysroot', 'bls-append-except-default') ?? '')
    .split(';')
    .filter((item) => item !== '')
    .map((item): [string, string] => {
      const at = item.indexOf('=');
      if (at < 1) {
        throw new AtomicError(
          'invalid',
          'bls-append-except-default key must be of the form "key1=value1;key2=value2..."',
        );
      }
      return [item.slice(0, at), item.slice(at + 1)];
    });
  return {
    bootloader,
    bootPrefix: config.getBoolean('sysroot', 'bootprefix') ?? false,
    bootCountingTries: tries === undefined ? undefined : Number(tries),
    blsAppendExceptDefault: append,
    grubMenu: config.get('atomic', 'bootloader') === 'grub',
  };
}
