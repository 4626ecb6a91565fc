import { readFileSync } from 'node:fs';
import type { Confinement } from '../backends/backend.ts';
import { risksOf } from '../consent/risks.ts';
import type { EngineContainer } from './schema.ts';

/** Capabilities that engines leave to root in a container (docker's default profile), as their bits. */
const DEFAULT_CAPABILITIES = 0xa80425fbn;

const CAPABILITIES = `CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT
SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP
MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`.split(/\s+/);

function capabilityNames(bits: bigint): string[] {
  return CAPABILITIES.filter((_, bit) => (bits >> BigInt(bit)) & 1n);
}

/** What the kernel says of a process; undefined when it is gone. */
export function processConfinement(pid: number): Confinement[] | undefined {
  let status: string;
  try {
    status = readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return undefined;
  }
  const field = (name: string): string => new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(status)?.[1] ?? '';
  const bounding = BigInt(`0x${field('CapBnd') || '0'}`);
  const extra = capabilityNames(bounding & ~DEFAULT_CAPABILITIES);
  const all = capabilityNames(bounding);
  const seccomp = field('Seccomp');
  const label = labelOf(pid);
  return [
    { aspect: 'user', value: field('Uid'), confined: field('Uid') !== '0' },
    {
      aspect: 'capabilities',
      value: extra.length > 0 && all.length === CAPABILITIES.length ? 'all' : all.join(' ') || 'none',
      confined: extra.length === 0,
    },
    {
      aspect: 'seccomp',
      value: seccomp === '2' ? 'filter' : seccomp === '1' ? 'strict' : 'none',
      confined: seccomp !== '0' && seccomp !== '',
    },
    {
      aspect: 'no-new-privileges',
      value: field('NoNewPrivs') === '1' ? 'yes' : 'no',
      confined: field('NoNewPrivs') === '1',
    },
    { aspect: 'label', value: label ?? 'none', confined: label !== undefined && !/unconfined|spc_t/.test(label) },
  ];
}

/** The label of SELinux or the profile of AppArmor; undefined where neither is in force. */
function labelOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/attr/current`, 'utf8').replaceAll('\0', '').trim();
    return text === '' ? undefined : text;
  } catch {
    return undefined;
  }
}

/** What confines a container of an engine: what it was made with and, while it runs, what the kernel says. */
export function engineConfinement(one: EngineContainer): Confinement[] {
  const { HostConfig: host, Config, State } = one;
  const has = (option: string): boolean => host.SecurityOpt.some((text) => text.replace(':', '=') === option);
  const made: Confinement[] = [
    { aspect: 'privileged', value: host.Privileged ? 'yes' : 'no', confined: !host.Privileged },
    { aspect: 'rootfs', value: host.ReadonlyRootfs ? 'read-only' : 'writable', confined: true },
    ...namespaces(one),
    ...mounts(one),
  ];
  const running = State.Running ? processConfinement(State.Pid) : undefined;
  if (running !== undefined) return [...made, ...running];
  const unconfined = host.Privileged || has('seccomp=unconfined');
  const label = [one.AppArmorProfile, one.ProcessLabel].filter((text) => text !== '').join(' ');
  return [
    ...made,
    { aspect: 'user', value: Config.User || '0', confined: !['', '0', 'root'].includes(Config.User) },
    {
      aspect: 'capabilities',
      value: host.Privileged
        ? 'all'
        : [...host.CapAdd.map((c) => `+${c}`), ...host.CapDrop.map((c) => `-${c}`)].join(' ') || 'default',
      confined: !host.Privileged && host.CapAdd.length === 0,
    },
    { aspect: 'seccomp', value: unconfined ? 'none' : 'filter', confined: !unconfined },
    { aspect: 'no-new-privileges', value: has('no-new-privileges') ? 'yes' : 'no', confined: has('no-new-privileges') },
    { aspect: 'label', value: label || 'none', confined: label !== '' && !/unconfined|spc_t/.test(label) },
  ];
}

function namespaces({ HostConfig: host }: EngineContainer): Confinement[] {
  const modes: [string, string][] = [
    ['network', host.NetworkMode],
    ['pid', host.PidMode],
    ['ipc', host.IpcMode],
    ['uts', host.UTSMode],
  ];
  return modes.map(([aspect, mode]) => ({ aspect, value: mode || 'own', confined: mode !== 'host' }));
}

function mounts({ Mounts }: EngineContainer): Confinement[] {
  return Mounts.filter(({ Type }) => Type === 'bind').map(({ Source, Destination, RW }) => {
    const value = `${Source}:${Destination}${RW ? '' : ':ro'}`;
    return {
      aspect: 'mount',
      value,
      confined: !risksOf(['docker', 'run', '-v', value]).some(({ weight }) => weight === 'grave'),
    };
  });
}
