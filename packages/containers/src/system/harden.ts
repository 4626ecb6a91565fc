import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { RuntimeSpec, Seccomp } from './runtime-spec.ts';

/** What of the kernel's means to confine a process this machine has. */
export interface HostSecurity {
  selinux: boolean;
  /** Loaded profiles; null: AppArmor is off. */
  apparmor: ReadonlySet<string> | null;
  /** The program that loads a profile, if it is installed. */
  apparmorParser: string | null;
}

const read = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
};

/** Looks what the running kernel has. */
export function hostSecurity(): HostSecurity {
  const on = read('/sys/module/apparmor/parameters/enabled').startsWith('Y');
  const loaded = read('/sys/kernel/security/apparmor/profiles')
    .split('\n')
    .flatMap((line) => /^(.*) \(\w+\)$/.exec(line)?.[1] ?? []);
  const parser = ['/usr/sbin/apparmor_parser', '/sbin/apparmor_parser'].find((path) => existsSync(path)) ?? null;
  return {
    selinux: existsSync('/sys/fs/selinux/enforce'),
    apparmor: on ? new Set(loaded) : null,
    apparmorParser: parser,
  };
}

/** Takes a container's profile out of the kernel, when it is gone: one that stays confines nobody, but is left over. */
export function unloadProfile(name: string): void {
  try {
    writeFileSync('/sys/kernel/security/apparmor/.remove', profileName(name));
  } catch {
    // It was never loaded, or has been taken out.
  }
}

/** With this one a container can undo what else confines it; images that ask for it mean to run the machine. */
export const isPrivileged = (spec: RuntimeSpec): boolean =>
  spec.process.capabilities?.['bounding']?.includes('CAP_SYS_ADMIN') === true;

// Kernel interfaces that a service has no business with, by the capability whose grant says otherwise.
const REFUSED_CALLS: readonly (readonly [unless: string | null, calls: readonly string[]])[] = [
  ['CAP_SYS_MODULE', ['init_module', 'finit_module', 'delete_module']],
  ['CAP_SYS_BOOT', ['kexec_load', 'kexec_file_load', 'reboot']],
  ['CAP_SYS_RAWIO', ['iopl', 'ioperm']],
  ['CAP_SYS_TIME', ['settimeofday', 'stime', 'clock_settime', 'clock_settime64', 'clock_adjtime', 'adjtimex']],
  ['CAP_SYS_PACCT', ['acct']],
  ['CAP_SYS_PTRACE', ['process_vm_readv', 'process_vm_writev', 'kcmp', 'userfaultfd']],
  ['CAP_DAC_READ_SEARCH', ['open_by_handle_at']],
  ['CAP_BPF', ['bpf']],
  ['CAP_PERFMON', ['perf_event_open']],
  [
    null,
    [
      'swapon',
      'swapoff',
      'mount',
      'umount2',
      'mount_setattr',
      'move_mount',
      'open_tree',
      'fsopen',
      'fsconfig',
      'fsmount',
      'fspick',
      'pivot_root',
      'setns',
      'unshare',
      'quotactl',
      'quotactl_fd',
      'add_key',
      'keyctl',
      'request_key',
      'lookup_dcookie',
      'nfsservctl',
      'vm86',
      'vm86old',
      'io_uring_setup',
      'io_uring_enter',
      'io_uring_register',
    ],
  ],
];

const ARCHITECTURES: Readonly<Record<string, string[]>> = {
  x64: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  arm64: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
};

function defaultSeccomp(granted: readonly string[]): Seccomp {
  const calls = REFUSED_CALLS.flatMap(([unless, names]) => (unless !== null && granted.includes(unless) ? [] : names));
  const architectures = ARCHITECTURES[process.arch];
  return {
    defaultAction: 'SCMP_ACT_ALLOW',
    ...(architectures === undefined ? {} : { architectures }),
    syscalls: [{ names: calls, action: 'SCMP_ACT_ERRNO', errnoRet: 1 }],
  };
}

const MASKED = ['/proc/kcore', '/proc/keys', '/proc/timer_list', '/proc/sched_debug', '/proc/scsi', '/sys/firmware'];
const READ_ONLY = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/** Two categories of SELinux, the same for a name each time, others for most other names. */
function categories(name: string): string {
  const hash = createHash('sha256').update(name).digest();
  const a = hash.readUInt16BE(0) % 1024;
  const b = (a + 1 + (hash.readUInt16BE(2) % 1023)) % 1024;
  return `s0:c${Math.min(a, b)},c${Math.max(a, b)}`;
}

/** Name of the profile that is made for a container. */
export const profileName = (name: string): string => `atomic-${name}`;

/** A profile for AppArmor: everything but the kernel's own switches, mounts and other people's processes. */
export const apparmorProfile = (name: string): string => `# Loaded by the container's unit before it starts.
profile ${profileName(name)} flags=(attach_disconnected,mediate_deleted) {
  network,
  capability,
  file,
  umount,
  signal (receive) peer=unconfined,
  signal (send, receive) peer=${profileName(name)},
  ptrace (trace, read, tracedby, readby) peer=${profileName(name)},
  deny mount,
  deny /proc/sysrq-trigger rwklx,
  deny /proc/kcore rwklx,
  deny /proc/mem rwklx,
  deny /proc/kmem rwklx,
  deny /proc/sys/kernel/{?,??,[^s][^h][^m]**} w,
  deny /sys/[^f]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/kernel/security/** rwklx,
}
`;

/**
 * Confines a container where its image says nothing: no new privileges, system calls, paths of the kernel, labels. What
 * the image says stays, but for labels and profiles that this machine does not have. A privileged one is left as it is:
 * it runs containers of its own. Returns what a person should know.
 */
export function hardenSpec(spec: RuntimeSpec, name: string, host: HostSecurity): { notes: string[]; profile: boolean } {
  const notes: string[] = [];
  const { process: run } = spec;
  spec.linux ??= {};
  const { linux } = spec;
  const privileged = isPrivileged(spec);
  if (!privileged) {
    run.noNewPrivileges ??= true;
    linux.seccomp ??= defaultSeccomp(run.capabilities?.['bounding'] ?? []);
    linux.maskedPaths ??= MASKED;
    linux.readonlyPaths ??= READ_ONLY;
  }
  if (!host.selinux) {
    // Runtimes refuse a label that nothing enforces.
    delete run.selinuxLabel;
    delete linux.mountLabel;
  } else if (run.selinuxLabel === undefined) {
    const level = categories(name);
    run.selinuxLabel = privileged ? 'system_u:system_r:spc_t:s0' : `system_u:system_r:container_t:${level}`;
    if (!privileged) linux.mountLabel ??= `system_u:object_r:container_file_t:${level}`;
  }
  const wanted = run.apparmorProfile;
  if (wanted !== undefined && wanted !== 'unconfined' && host.apparmor?.has(wanted) !== true) {
    if (host.apparmor !== null)
      notes.push(`the image wants the AppArmor profile '${wanted}', which is not loaded here`);
    delete run.apparmorProfile;
  }
  const profile =
    run.apparmorProfile === undefined && !privileged && host.apparmor !== null && host.apparmorParser !== null;
  if (profile) run.apparmorProfile = profileName(name);
  return { notes, profile };
}
