import { type EngineLine, engineOf, readEngineLine } from '../labels/engine-line.ts';
import { longMountRisks, volumeRisks } from './mounts.ts';
import { fileRisk, grave, note, type Risk } from './risk.ts';

/** What is common, and takes over no machine. Any other is asked about. */
const WEAK_CAPABILITIES = new Set(
  `AUDIT_WRITE CHOWN FOWNER FSETID IPC_LOCK KILL LEASE MKNOD NET_BIND_SERVICE NET_BROADCAST NET_RAW SETFCAP SETGID
  SETPCAP SETUID SYS_CHROOT SYS_NICE SYS_RESOURCE`.split(/\s+/),
);

interface Namespace {
  id: string;
  /** What the machine's own one gives. */
  host: string;
  /** What gives none of another's. */
  own: RegExp;
}

const NAMESPACES = new Map<string, Namespace>(
  Object.entries({
    network: {
      id: 'network',
      host: "uses the machine's own network: it sees all connections and can take any port",
      own: /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/,
    },
    pid: { id: 'processes', host: 'sees, traces and kills every process of the machine', own: /^(?:private)?$/ },
    ipc: {
      id: 'ipc',
      host: 'shares the memory that programs of the machine share with each other',
      own: /^(?:none|private|shareable)?$/,
    },
    uts: { id: 'hostname', host: "can change the machine's name", own: /^(?:private)?$/ },
    userns: {
      id: 'users',
      host: "its root is the machine's root",
      own: /^(?:private|nomap|(?:auto|keep-id)(?::.*)?)?$/,
    },
    cgroupns: { id: 'cgroups', host: "sees all of the machine's control groups", own: /^(?:private)?$/ },
  }),
);

function namespaceRisk(name: string, { id, host, own }: Namespace, value: string): Risk[] {
  if (value === 'host') return [grave(id, host)];
  if (own.test(value)) return [];
  // Of a container of the machine's, it is the machine's.
  const other = /^container:(.+)$/.exec(value)?.[1];
  return other === undefined
    ? [grave(`${id}:${value}`, `is given the ${name} namespace ${value}`)]
    : [grave(`${id}:${other}`, `shares the ${name} namespace of ${other}, with all that ${other} may do there`)];
}

function securityRisk(value: string): Risk[] {
  const text = value.replace(/^([a-z-]+)[:=]/, '$1=');
  if (/^(?:no-new-privileges(?:=.*)?|mask=.*|seccomp=builtin|apparmor=docker-default)$/.test(text)) return [];
  if (text === 'seccomp=unconfined') return [grave('seccomp', 'may make every system call (no seccomp filter)')];
  if (text === 'apparmor=unconfined') return [grave('apparmor', 'is not confined by AppArmor')];
  if (text === 'label=disable') return [grave('selinux', 'is not confined by SELinux')];
  if (text === 'systempaths=unconfined' || text.startsWith('unmask=')) {
    return [grave('system-paths', 'sees the parts of /proc and /sys that are hidden from containers')];
  }
  return [grave(`security:${text}`, `is confined in another way than containers are: ${value}`)];
}

function capabilityRisk(value: string): Risk {
  const capability = value.trim().toUpperCase().replace(/^CAP_/, '');
  const id = `capability:${capability}`;
  return WEAK_CAPABILITIES.has(capability)
    ? note(id, `has the capability ${capability}`)
    : grave(id, `has the capability ${capability}, which can be used to take over the machine`);
}

/** Options of one meaning whatever their value. */
const GRAVE = new Map(
  Object.entries({
    'cgroup-conf': 'sets limits of its own',
    'cgroup-parent': 'leaves the control group of containers',
    'device-cgroup-rule': 'may use devices by a rule',
    'env-host': 'is given the whole environment of whoever calls',
    pod: 'joins the pod',
    'preserve-fd': 'is given open files of whoever calls',
    'preserve-fds': 'is given open files of whoever calls',
    secret: 'is given a secret of the container engine',
    'seccomp-policy': 'chooses its filter of system calls by itself',
  }),
);
const READS_FILE = new Set(
  'authfile cert-dir decryption-key env-file hosts-file init-path label-file pod-id-file'.split(' '),
);
const WRITES_FILE = new Set('cidfile conmon-pidfile health-log-destination pidfile'.split(' '));

/** Options that are harmless with these values only. */
const HARMLESS_VALUES = new Map(
  Object.entries({
    // Runtimes and hooks are commanded by others.
    annotation: /^org\.opencontainers\.image\./,
    // A name with a star is each variable that begins so.
    env: /^(?:[^=]*[^=*])?(?:=.*)?$/s,
    'log-driver': /^(?:journald|json-file|k8s-file|local|none)$/,
    'log-opt': /^(?:compress|env|env-regex|labels|labels-regex|max-buffer-size|max-file|max-size|mode|tag)=/,
    'storage-opt': /^size=\w+$/,
    tz: /^(?:local|[A-Za-z][\w+-]*(?:\/[\w+-]+)*)$/,
    'volume-driver': /^local$/,
  }),
);

function optionRisks(name: string, value: string): Risk[] {
  const namespace = NAMESPACES.get(name);
  if (namespace !== undefined) return namespaceRisk(name, namespace, value);
  const option = `--${name} ${value}`;
  if (READS_FILE.has(name)) return [fileRisk(value, `--${name}`)];
  if (WRITES_FILE.has(name)) return [grave(`writes:${value}`, `writes to ${value} of this machine (--${name})`)];
  const always = GRAVE.get(name);
  if (always !== undefined && value !== 'false') return [grave(`option:${option}`, `${always}: ${option}`)];
  if (HARMLESS_VALUES.get(name)?.test(value) === false) {
    return [grave(`option:${option}`, `sets what engines leave alone: ${option}`)];
  }
  switch (name) {
    case 'privileged':
      return value === 'false'
        ? []
        : [grave('privileged', 'is not confined: as root it can do all that the administrator can, to every device')];
    case 'use-api-socket':
      return value === 'false'
        ? []
        : [grave('engine-socket', 'commands the container engine, and so the whole machine')];
    case 'volume':
      return volumeRisks(value);
    case 'mount':
      return longMountRisks(value);
    case 'volumes-from':
      return [grave(`volumes-from:${value}`, `has the files that ${value} has from this machine`)];
    case 'device':
      return value.split(',').map((one) => {
        const [device = ''] = one.split(':');
        return grave(`device:${device}`, `uses the device ${device}`);
      });
    case 'gpus':
      return [note('gpus', 'uses the graphics processors')];
    case 'cap-add':
      return value.split(',').map(capabilityRisk);
    case 'security-opt':
      return securityRisk(value);
    case 'runtime':
      // A path is a program; a name, one that the engine was told of.
      return [(value.includes('/') ? grave : note)(`runtime:${value}`, `is run by ${value}, as root of this machine`)];
    case 'restart':
      return value === 'no' ? [] : [note('restart', 'starts again by itself, after a restart of the machine too')];
    case 'oom-kill-disable':
      return [note('oom', 'is not killed when it uses up the memory')];
    default:
      return [];
  }
}

/** Before the sub-command. */
const HARMLESS_GLOBALS = new Set(['debug', 'D', 'log-level', 'l', 'noout', 'syslog', 'help', 'version', 'v']);

function globalRisks({ globals, unknown }: EngineLine): Risk[] {
  const risks = globals.flatMap(({ name, value }) =>
    HARMLESS_GLOBALS.has(name)
      ? []
      : [grave(`engine-option:${name}=${value}`, `commands the container engine with the option ${name}: ${value}`)],
  );
  if (unknown.length === 0) return risks;
  // Whether it takes the next word cannot be told, nor then what any later word means.
  const words = unknown.join(' ');
  return [...risks, grave(`unknown:${words}`, `has an option whose meaning is not known here: ${words}`)];
}

/** Of `exec`: what harms nobody in one's own container. */
const HARMLESS_EXEC = new Set(['detach', 'detach-keys', 'env', 'interactive', 'tty', 'user', 'workdir']);

/** Verbs of an engine that start no container and change none but those they name. */
const TAME = new Set(['rm', 'stop', 'kill', 'logs', 'start', 'restart', 'wait', 'pull', 'ps', 'inspect', 'images']);

/** What they may be told. */
const TAME_OPTIONS = new Set(
  `all all-tags attach color condition depend detach-keys details digests filter follow force format ignore interactive
  interval last latest link names no-trunc noheading platform quiet running sig-proxy signal since size sort tail time
  timeout timestamps type until volumes`.split(/\s+/),
);

/** Podman takes its own options after the verb as well, and some of them name programs to run. */
function isTame(word: string): boolean {
  const [, name] = /^--([^=]+)/.exec(word) ?? [];
  return name === undefined ? !/^-[^-]*[cr]/.test(word) : TAME_OPTIONS.has(name);
}

function verbRisks({ verb, options, rest, words }: EngineLine, own: string | undefined): Risk[] {
  const [first = ''] = rest;
  const risks = (): Risk[] => options.flatMap(({ name, value }) => optionRisks(name, value));
  switch (verb) {
    case 'run':
    case 'create':
      return options.some(({ name, value }) => name === 'rootfs' && value !== 'false')
        ? [...risks(), grave(`rootfs:${first}`, `reads and changes ${first} of this machine, as /`)]
        : risks();
    case 'exec':
      return first === own && options.every(({ name }) => HARMLESS_EXEC.has(name))
        ? risks()
        : [...risks(), grave(`exec:${first}`, `runs a command in the container ${first}, with all that it may do`)];
    default:
      if (verb !== undefined && TAME.has(verb)) {
        const odd = words.filter((word) => !isTame(word));
        return odd.map((word) => grave(`engine:${verb} ${word}`, `commands the container engine: ${verb} ${word}`));
      }
      return [grave(`engine:${verb ?? ''}`, `commands the container engine: ${verb ?? 'nothing'}`)];
  }
}

/**
 * What a command line does to the machine beyond what containers do anyway. What is not known to be harmless is asked
 * about. `own`: the container whose line it is, when that is there already.
 */
export function risksOf(words: readonly string[], own?: string): Risk[] {
  const [program = ''] = words;
  if (engineOf(program) === undefined) {
    return [grave('program', `runs the program ${program} of this machine, outside of any container`)];
  }
  const line = readEngineLine(words);
  const found = new Map<string, Risk>();
  for (const risk of [...globalRisks(line), ...verbRisks(line, own)]) {
    if (found.get(risk.id)?.weight !== 'grave') found.set(risk.id, risk);
  }
  return [...found.values()];
}
