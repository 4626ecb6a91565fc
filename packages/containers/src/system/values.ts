import { readFileSync } from 'node:fs';
import { AtomicError } from '@atomic/ostree';

/** Where a variable's value comes from. */
export type ValueOrigin = 'given' | 'set' | 'system' | 'image';

export interface Value {
  value: string;
  origin: ValueOrigin;
}

/** What the machine says of itself and of the installation. */
export interface Surroundings {
  name: string;
  /** Where the deployment will be. */
  place: string;
  imageName: string;
  imageId: string;
  uid: number;
  gid: number;
  runDirectory: string;
  stateDirectory: string;
  confDirectory: string;
  runtime: string;
  atomic: string;
  uuid: string;
  exec: { start: string; stop: string; startPre: string; stopPost: string };
}

/** Variables that say how things are, which nobody can set. */
const FORCED = new Set([
  'DESTDIR',
  'NAME',
  'EXEC_START',
  'EXEC_STOP',
  'EXEC_STARTPRE',
  'EXEC_STOPPOST',
  'HOST_UID',
  'HOST_GID',
  'IMAGE_ID',
  'IMAGE_NAME',
]);

/**
 * The value of every variable: what cannot be set, then what was set, then what the machine says, then what the image
 * says. Throws `usage` where somebody sets what cannot be set.
 */
export function valuesOf(
  around: Surroundings,
  set: Readonly<Record<string, string>>,
  defaults: Readonly<Record<string, string>>,
): Map<string, Value> {
  const values = new Map<string, Value>();
  const put = (origin: ValueOrigin, all: Readonly<Record<string, string>>): void => {
    for (const [name, value] of Object.entries(all)) values.set(name, { value, origin });
  };
  put('image', defaults);
  put('system', {
    RUN_DIRECTORY: around.runDirectory,
    STATE_DIRECTORY: around.stateDirectory,
    CONF_DIRECTORY: around.confDirectory,
    // As the old manual calls it.
    CONFIG_DIRECTORY: around.confDirectory,
    UUID: around.uuid,
    PIDFILE: `${around.runDirectory}/container-${around.name}.pid`,
    ALL_PROCESS_CAPABILITIES: JSON.stringify(kernelCapabilities()),
    RUNTIME: around.runtime,
    ATOMIC: around.atomic,
  });
  checkSettable(set);
  put('set', set);
  put('given', {
    DESTDIR: around.place,
    NAME: around.name,
    EXEC_START: around.exec.start,
    EXEC_STOP: around.exec.stop,
    EXEC_STARTPRE: around.exec.startPre,
    EXEC_STOPPOST: around.exec.stopPost,
    HOST_UID: String(around.uid),
    HOST_GID: String(around.gid),
    IMAGE_ID: around.imageId,
    IMAGE_NAME: around.imageName,
  });
  return values;
}

/** Throws `usage` for names that are none, or that cannot be set. */
export function checkSettable(set: Readonly<Record<string, string>>): void {
  for (const name of Object.keys(set)) {
    if (FORCED.has(name)) throw new AtomicError('usage', `${name} says how things are; it cannot be set`);
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      throw new AtomicError('usage', `'${name}' is not the name of a variable`, { hint: 'write --set NAME=VALUE' });
    }
  }
}

/** Every capability by its number (linux/capability.h). */
const CAPABILITIES = (
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE ' +
  'NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN ' +
  'SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE ' +
  'MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE'
)
  .split(' ')
  .map((name) => `CAP_${name}`);

/** Those this kernel has. */
export function kernelCapabilities(): string[] {
  let last = CAPABILITIES.length - 1;
  try {
    last = Number(readFileSync('/proc/sys/kernel/cap_last_cap', 'utf8'));
  } catch {
    // No /proc: all that are known.
  }
  return CAPABILITIES.slice(0, last + 1);
}
